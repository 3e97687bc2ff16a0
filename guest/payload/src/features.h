/* Ring features, chosen by the words `noevent` and `noindirect`. */
#pragma once

#include <stdint.h>

uint64_t features_from_command_line(void);
