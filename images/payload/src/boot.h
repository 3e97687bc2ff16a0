/* What the boot loader tells us, whichever protocol it speaks. */
#pragma once

#define BOOT_LINUX64 1
#define BOOT_PVH 2

#ifndef __ASSEMBLER__
#include <stdint.h>

#define COMMAND_LINE_MAX 4096
#define RAM_RANGES_MAX 8

struct ram_range {
  uintptr_t start, end;
};

struct boot_information {
  const char *protocol;
  char command_line[COMMAND_LINE_MAX];
  uint64_t ram_bytes;     /* all of it */
  struct ram_range ram[RAM_RANGES_MAX];
  unsigned ram_ranges;
  uintptr_t heap_end;     /* end of the RAM that the payload itself lies in */
};

extern struct boot_information boot;

/* Read boot_params (BOOT_LINUX64) or hvm_start_info (BOOT_PVH) into `boot`. */
void boot_read(uint32_t protocol, const void *information);
#endif
