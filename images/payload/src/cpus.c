#include "cpus.h"

#include "clock.h"
#include "interrupts.h"
#include "memory.h"
#include "ring0.h"
#include "segments.h"
#include "x86.h"

/* SDM vol. 3, figure 11-12: the interrupt command register. */
enum { LAPIC_ICR_LOW = 0x300, LAPIC_ICR_HIGH = 0x310, ICR_DESTINATION_SHIFT = 24 };
enum { ICR_INIT = 0x4500, ICR_STARTUP = 0x4600 };

/* A page below 1 MiB that is nobody's by now; its number is the SIPI's vector. */
enum { AP_TRAMPOLINE = 0x2000, TRAMPOLINE_VECTOR = AP_TRAMPOLINE / PAGE_SIZE };
enum { STACK_PAGES = 4, INIT_US = 10000, START_TIMEOUT_US = 20000000 };

/* SDM vol. 3, figure 8-11, as far as it is used. */
struct task_state {
  uint32_t reserved0;
  uint64_t ring0_stack;
  uint8_t unused[90];
  uint16_t io_bitmap;
} __attribute__((packed));

/* SDM vol. 3, figure 8-4 */
struct task_state_descriptor {
  uint16_t limit, base_low;
  uint8_t base_middle, type, flags, base_high;
  uint32_t base_upper, reserved;
};
enum { AVAILABLE_TASK_STATE = 0x89 };

extern const uint8_t ap_trampoline[], ap_trampoline_end[];
extern struct task_state_descriptor gdt_ap_task_state;

/* Read by entry.S and ap_main, before the next CPU is started. */
uint64_t ap_ring0_stack, ap_user_stack;
static volatile unsigned ap_number; /* read before ap_came is written */
static void (*ap_function)(unsigned);
static volatile bool ap_came;

/* entry.S comes here at CPL3, as if called. */
_Noreturn void ap_main(void);

void ap_main(void) {
  unsigned number = ap_number;
  ap_came = true;
  ap_function(number);
  ring0_call(ring0_park, 0, 0, 0);
  __builtin_unreachable();
}

static uint64_t new_stack(void) {
  uint32_t size = STACK_PAGES * PAGE_SIZE;
  return (uintptr_t)allocate_pages(size) + size;
}

/* The descriptor is used once, by LTR, so all CPUs can share its place. */
static void new_task_state(void) {
  struct task_state *state = allocate_pages(PAGE_SIZE); /* an I/O bitmap of zeros behind it */
  uintptr_t base = (uintptr_t)state;
  state->ring0_stack = ap_ring0_stack;
  state->io_bitmap = TASK_STATE_SIZE;
  gdt_ap_task_state = (struct task_state_descriptor){.limit = TASK_STATE_SIZE + IO_BITMAP_SIZE - 1,
                                                     .base_low = (uint16_t)base,
                                                     .base_middle = (uint8_t)(base >> 16),
                                                     .base_high = (uint8_t)(base >> 24),
                                                     .type = AVAILABLE_TASK_STATE};
}

static void send(unsigned apic_id, uint32_t command) {
  mmio_write32(LAPIC_BASE + LAPIC_ICR_HIGH, apic_id << ICR_DESTINATION_SHIFT);
  mmio_write32(LAPIC_BASE + LAPIC_ICR_LOW, command);
}

static void wait(uint64_t microseconds) {
  uint64_t deadline = clock_deadline(microseconds);
  while (!ap_came && !clock_passed(deadline)) cpu_pause();
}

static bool start(unsigned number) {
  ap_number = number;
  ap_ring0_stack = new_stack();
  ap_user_stack = new_stack() - 8; /* as after a call: RSP + 8 is 16-byte aligned */
  new_task_state();
  ap_came = false;
  send(number, ICR_INIT);
  wait(INIT_US);
  send(number, ICR_STARTUP | TRAMPOLINE_VECTOR);
  wait(START_TIMEOUT_US);
  return ap_came;
}

bool cpus_start(unsigned count, void (*function)(unsigned number)) {
  ap_function = function;
  memcpy((void *)AP_TRAMPOLINE, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
  for (unsigned number = 1; number < count; number++) {
    if (!start(number)) return false;
  }
  return true;
}
