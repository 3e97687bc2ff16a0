#include "interrupts.h"

#include "ring0.h"
#include "segments.h"
#include "x86.h"

/* SDM vol. 3, table 11-1 */
enum {
  LAPIC_ID = 0x020,
  LAPIC_TASK_PRIORITY = 0x080,
  LAPIC_SPURIOUS = 0x0f0,
  LAPIC_LVT_TIMER = 0x320,
  LAPIC_LVT_LINT0 = 0x350,
  LAPIC_TIMER_INITIAL = 0x380,
  LAPIC_TIMER_DIVIDE = 0x3e0,
};
enum {
  LAPIC_ENABLE = 1 << 8,
  LVT_MASKED = 1 << 16,
  LVT_PERIODIC = 1 << 17,
  TIMER_DIVIDE_BY_1 = 0xb,
  HEARTBEAT = 50000000, /* bus ticks; KVM's LAPIC bus runs at 1 GHz: 50 ms */
};

/* 82093AA: an index register, a data register, two words per pin. */
enum { IOAPIC_SELECT = 0x00, IOAPIC_DATA = 0x10, IOAPIC_REDIRECTION = 0x10 };
enum { IOAPIC_DESTINATION_SHIFT = 24 };

/* SDM vol. 3, figure 6-8 */
struct gate {
  uint16_t offset_low, selector;
  uint8_t stack_table, type;
  uint16_t offset_middle;
  uint32_t offset_high, reserved;
};
enum { GATE_INTERRUPT = 0x8e /* present, DPL 0, IF cleared */ };

extern struct gate idt[256];
extern const uint8_t interrupt_stubs[];

/* Written by traps.S; `volatile` because they change across a halt. */
volatile uint32_t interrupt_counts[INTERRUPT_COUNT];
volatile uint32_t interrupt_statuses[INTERRUPT_COUNT];
uint32_t interrupt_windows[INTERRUPT_COUNT];

void traps_init(void) {
  for (unsigned vector = 0; vector < VECTOR_COUNT; vector++) {
    uint32_t address = (uint32_t)(uintptr_t)(interrupt_stubs + vector * STUB_SIZE);
    idt[vector] = (struct gate){.offset_low = (uint16_t)address,
                                .offset_middle = (uint16_t)(address >> 16),
                                .selector = KERNEL_CODE,
                                .type = GATE_INTERRUPT};
  }
}

static void lapic_write(uint32_t offset, uint32_t value) {
  mmio_write32(LAPIC_BASE + offset, value);
}

void interrupts_init(void) {
  lapic_write(LAPIC_SPURIOUS, LAPIC_ENABLE | VECTOR_SPURIOUS);
  lapic_write(LAPIC_TASK_PRIORITY, 0);
  lapic_write(LAPIC_LVT_LINT0, LVT_MASKED); /* the old PIC has nothing to say */
  lapic_write(LAPIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
  lapic_write(LAPIC_LVT_TIMER, LVT_PERIODIC | (VECTOR_DEVICES + INTERRUPT_TIMER));
  lapic_write(LAPIC_TIMER_INITIAL, HEARTBEAT);
}

static void ioapic_write(uint32_t index, uint32_t value) {
  mmio_write32(IOAPIC_BASE + IOAPIC_SELECT, index);
  mmio_write32(IOAPIC_BASE + IOAPIC_DATA, value);
}

void interrupts_route(uint32_t gsi, uintptr_t virtio_window) {
  if (gsi >= GSI_COUNT) return;
  interrupt_windows[gsi] = (uint32_t)virtio_window;
  uint32_t lapic_id = mmio_read32(LAPIC_BASE + LAPIC_ID) >> IOAPIC_DESTINATION_SHIFT;
  ioapic_write(IOAPIC_REDIRECTION + 2 * gsi + 1, lapic_id << IOAPIC_DESTINATION_SHIFT);
  /* Fixed delivery, physical destination, active high, edge, not masked: all 0. */
  ioapic_write(IOAPIC_REDIRECTION + 2 * gsi, VECTOR_DEVICES + gsi);
}

void interrupts_wait(void) { ring0_call(halt_for_interrupt, 0, 0, 0); }

uint32_t interrupts_taken(uint32_t gsi) { return gsi < GSI_COUNT ? interrupt_counts[gsi] : 0; }
