/* Ring features, without those that the words `noevent`, `noindirect` and `nopacked` forbid. */
#pragma once

#include <stdint.h>

uint64_t features_from_command_line(void);
