#include "boot.h"

#include "memory.h"

/* struct boot_params (Linux Documentation/arch/x86/zero-page.rst) */
enum {
  BOOT_PARAMS_EXT_CMD_LINE_PTR = 0x0c8,
  BOOT_PARAMS_E820_ENTRIES = 0x1e8,
  BOOT_PARAMS_CMD_LINE_PTR = 0x228,
  BOOT_PARAMS_E820_TABLE = 0x2d0,
};

/* struct hvm_start_info (Xen public/arch-x86/hvm/start_info.h) */
enum {
  START_INFO_VERSION = 4,
  START_INFO_CMDLINE_PADDR = 24,
  START_INFO_MEMMAP_PADDR = 40,
  START_INFO_MEMMAP_ENTRIES = 48,
};

/* Both tables start their entries so; e820's are packed to 20 bytes. */
struct memory_map_entry {
  uint64_t address, size;
  uint32_t type;
} __attribute__((packed));

enum { E820_ENTRY_SIZE = 20, START_INFO_ENTRY_SIZE = 24, TYPE_RAM = 1 };

struct boot_information boot;

static uint32_t load32(const uint8_t *p) {
  uint32_t value;
  memcpy(&value, p, sizeof value);
  return value;
}

static uint64_t load64(const uint8_t *p) {
  return load32(p) | (uint64_t)load32(p + 4) << 32;
}

static void read_command_line(uintptr_t address) {
  const char *text = (const char *)address;
  if (!text) return;
  for (unsigned i = 0; i < COMMAND_LINE_MAX - 1 && text[i]; i++) {
    boot.command_line[i] = text[i];
  }
}

static void read_memory_map(uintptr_t table, uint32_t entries, uint32_t stride) {
  for (uint32_t i = 0; i < entries; i++) {
    const struct memory_map_entry *entry = (const void *)(table + i * stride);
    if (entry->type != TYPE_RAM) continue;
    boot.ram_bytes += entry->size;
    uintptr_t end = entry->address + entry->size;
    if (boot.ram_ranges < RAM_RANGES_MAX) {
      boot.ram[boot.ram_ranges++] = (struct ram_range){entry->address, end};
    }
    if (entry->address <= (uintptr_t)payload_end && (uintptr_t)payload_end <= end) {
      boot.heap_end = end;
    }
  }
}

void boot_read(uint32_t protocol, const void *information) {
  const uint8_t *p = information;
  if (protocol == BOOT_PVH) {
    boot.protocol = "PVH";
    read_command_line(load64(p + START_INFO_CMDLINE_PADDR));
    if (load32(p + START_INFO_VERSION) >= 1) {
      read_memory_map(load64(p + START_INFO_MEMMAP_PADDR),
                      load32(p + START_INFO_MEMMAP_ENTRIES), START_INFO_ENTRY_SIZE);
    }
  } else {
    boot.protocol = "64-bit Linux";
    read_command_line(load32(p + BOOT_PARAMS_CMD_LINE_PTR) |
                      (uint64_t)load32(p + BOOT_PARAMS_EXT_CMD_LINE_PTR) << 32);
    read_memory_map((uintptr_t)p + BOOT_PARAMS_E820_TABLE, p[BOOT_PARAMS_E820_ENTRIES],
                    E820_ENTRY_SIZE);
  }
}
