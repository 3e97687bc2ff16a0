/* The machine as a whole: failures, and how it ends. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Counts a failed check and passes the verdict on. */
bool check(bool passed);

/* Print the verdict (`payload: ok` or `payload: FAILED n`) and end the machine. */
_Noreturn void machine_finish(void);

/* Three ways to end the machine; each returns only where it isn't one. */
void machine_reset(void);
void machine_power_off(void);
void machine_triple_fault(void);

/* End the machine: i8042 reset, ACPI-style power off, triple fault. */
_Noreturn void machine_end(void);

_Noreturn void machine_panic(const char *reason);

/* Called at CPL3 by traps.S. */
_Noreturn void report_exception(uint64_t vector, uint64_t error, uint64_t rip, uint64_t cr2);
