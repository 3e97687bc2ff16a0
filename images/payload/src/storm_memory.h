/* Storms on shared memory, the other CPU's part; each returns after a while. */
#pragma once

#include "storm.h"

void storm_flip_rings(struct victim *victim);
void storm_flip_headers(struct victim *victim);

/* Descriptors and rings of noise. */
void storm_scribble(struct victim *victim);
