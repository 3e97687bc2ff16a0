/* Mode `memory`: is every part of RAM there, and nowhere twice? */
#include "boot.h"
#include "cmdline.h"
#include "machine.h"
#include "memory.h"
#include "modes.h"
#include "serial.h"

enum { DIRECTORY_SHIFT = 30, MAPPED_AT_BOOT = 4, DIRECTORIES_MAX = 512 };
/* page_tables.S: present, writable, user, accessed; dirty and large. */
enum { TABLE = 0x27, PAGE = 0xe7, LARGE_PAGE = 0x200000, ENTRIES = 512 };
/* Below is the payload itself, with what it has allocated. */
#define FIRST MIB(32)

extern uint64_t directory_pointers[DIRECTORIES_MAX];

/* Map what is above 4 GiB, as page_tables.S does below. */
static void map_up_to(uint64_t end) {
  for (uint64_t i = MAPPED_AT_BOOT; i << DIRECTORY_SHIFT < end; i++) {
    if (i == DIRECTORIES_MAX) machine_panic("more than 512 GiB of RAM");
    uint64_t *directory = allocate_pages(PAGE_SIZE);
    for (uint64_t n = 0; n < ENTRIES; n++) {
      directory[n] = ((i << DIRECTORY_SHIFT) + n * LARGE_PAGE) | PAGE;
    }
    directory_pointers[i] = (uintptr_t)directory | TABLE;
  }
}

static uint64_t mark(const volatile uint64_t *word) { return (uintptr_t)word * 0x9e3779b97f4a7c15; }

/* The first word of each step, and the last one of all. */
static unsigned visit(struct ram_range range, uint64_t step, bool write, unsigned *wrong) {
  unsigned count = 0;
  uint64_t start = range.start < FIRST ? FIRST : range.start;
  if (start >= range.end) return 0;
  uint64_t last = range.end - sizeof(uint64_t);
  for (uint64_t address = start;;) {
    volatile uint64_t *word = (uint64_t *)address;
    if (write) {
      *word = mark(word);
    } else if (*word != mark(word)) {
      ++*wrong;
    }
    count++;
    if (address == last) return count;
    address = address + step < last ? address + step : last;
  }
}

void mode_memory(void) {
  uint64_t step = cmdline_number("step", MIB(64));
  if (!step || step % sizeof(uint64_t)) machine_panic("step= is not a multiple of 8");
  for (unsigned i = 0; i < boot.ram_ranges; i++) map_up_to(boot.ram[i].end);
  unsigned count = 0, wrong = 0;
  for (unsigned i = 0; i < boot.ram_ranges; i++) count += visit(boot.ram[i], step, true, &wrong);
  for (unsigned i = 0; i < boot.ram_ranges; i++) visit(boot.ram[i], step, false, &wrong);
  uint64_t top = boot.ram_ranges ? boot.ram[boot.ram_ranges - 1].end : 0;
  bool good = check(count > 0 && wrong == 0);
  print("memory: %u words up to 0x%lx, %u wrong %s\n", count, top, wrong, good ? "ok" : "FAILED");
}
