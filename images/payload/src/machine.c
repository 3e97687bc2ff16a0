#include "machine.h"

#include "ring0.h"
#include "serial.h"
#include "x86.h"

enum { I8042_COMMAND = 0x64, I8042_PULSE_RESET = 0xfe };
/* ACPI reduced-hardware sleep control, where Firecracker's kin have it. */
enum { SLEEP_CONTROL = 0x600, SLEEP_ENABLE_S5 = 0x34 };

static uint32_t failures;

bool check(bool passed) {
  if (!passed) failures++;
  return passed;
}

void machine_reset(void) { out8(I8042_COMMAND, I8042_PULSE_RESET); }

void machine_power_off(void) { out8(SLEEP_CONTROL, SLEEP_ENABLE_S5); }

void machine_triple_fault(void) { ring0_call(ring0_triple_fault, 0, 0, 0); }

void machine_end(void) {
  machine_reset();
  machine_power_off();
  machine_triple_fault();
  __builtin_unreachable();
}

void machine_finish(void) {
  if (failures) {
    print("payload: FAILED %u\n", failures);
  } else {
    print("payload: ok\n");
  }
  machine_end();
}

void machine_panic(const char *reason) {
  print("payload: %s\n", reason);
  failures++;
  machine_finish();
}

void report_exception(uint64_t vector, uint64_t error, uint64_t rip, uint64_t cr2) {
  print("payload: exception %lu, error 0x%lx, RIP 0x%lx, CR2 0x%lx\n", vector, error, rip, cr2);
  machine_panic("unexpected exception");
}
