/* The few things that need CPL0 (traps.S). */
#pragma once

#include <stdint.h>

/* Runs one of the functions below at CPL0. They must not be called directly. */
uint64_t ring0_call(void (*function)(void), uint64_t a, uint64_t b, uint64_t c);

void halt_for_interrupt(void);
void ring0_write_msr(void);    /* (msr, value) */
void ring0_cpuid(void);        /* (leaf, uint32_t registers[4]: EAX EBX ECX EDX) */
void ring0_serial_write(void); /* (text, length) */
void ring0_mmio_read_loop(void);  /* (address, count) */
void ring0_mmio_write_loop(void); /* (address, count, value) */
void ring0_mmio_ack_loop(void);   /* (status address, count, acknowledge address) */
void ring0_port_read_loop(void);  /* (port, count) */
void ring0_port_read32(void); /* (port): its 32 bits */
void ring0_park(void); /* does not return */
void ring0_triple_fault(void);
