/* Storms on registers: doorbells, resets, wild accesses, and PCI's own. */
#pragma once

#include "storm.h"

/* For either CPU: doorbells of queues that are there, and of those that are not. */
void storm_doorbells(struct victim *victim, unsigned cpu);

/* For either CPU: every width at every offset of the windows, BARs, configuration space, ports. */
void storm_accesses(struct victim *victim, unsigned cpu);

/* PCI: the BAR moves, decoding stops, vectors and interrupts are masked. */
void storm_moves(struct victim *victim, unsigned cpu);

/* Undo what the last two have done to the PCI function. */
void storm_restore(const struct victim *victim);
