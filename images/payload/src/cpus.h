/* The other CPUs: INIT and SIPI, and something to do at CPL3. */
#pragma once

#define CPUS_MAX 32

#ifndef __ASSEMBLER__
#include <stdbool.h>

/*
 * Start CPUs 1 to count - 1; APIC ids are those numbers. Each runs
 * function(number) on a stack of its own, and then sleeps for ever. False when
 * one does not come.
 */
bool cpus_start(unsigned count, void (*function)(unsigned number));
#endif
