/* Time from the TSC. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Learn the TSC's frequency. */
void clock_init(void);

/* 0 when nobody tells; durations are then in units of an assumed 1 GHz. */
uint64_t clock_tsc_hz(void);

uint64_t clock_nanoseconds(uint64_t tsc_ticks);
uint64_t clock_ticks(uint64_t microseconds);

/* The TSC value this far ahead, and whether one has passed. */
uint64_t clock_deadline(uint64_t microseconds);
bool clock_passed(uint64_t deadline);
