/* Marsaglia's xorshift64: noise, the same on every run. */
#pragma once

#include <stdint.h>

uint64_t random_next(void);
