/* Interrupt routing: IOAPIC pin (GSI) to LAPIC vector, and waiting for one. */
#pragma once

#define IOAPIC_BASE 0xfec00000
#define LAPIC_BASE 0xfee00000
#define LAPIC_EOI 0xb0

#define GSI_COUNT 24
#define VECTOR_INVALID_OPCODE 6
#define VECTOR_DEVICES 0x20 /* + GSI */
#define INTERRUPT_TIMER GSI_COUNT /* numbered after the GSIs */
#define INTERRUPT_COUNT (GSI_COUNT + 1)
#define VECTOR_SPURIOUS 0x3f
#define VECTOR_COUNT 0x40
#define STUB_SIZE 16
/* #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC, #SX (SDM vol. 3, table 6-1) */
#define EXCEPTIONS_WITH_ERROR_CODE 0x60227d00

#ifndef __ASSEMBLER__
#include <stdint.h>

/* Fill the IDT: from here on ring0_call works and exceptions are reported. */
void traps_init(void);

/* Enable the LAPIC, with its timer as a slow heartbeat. */
void interrupts_init(void);

/*
 * Deliver this GSI, edge triggered. The handler reads and acknowledges the
 * interrupt status of the virtio-mmio window.
 */
void interrupts_route(uint32_t gsi, uintptr_t virtio_window);

/* Sleep until any interrupt; the heartbeat bounds the sleep. */
void interrupts_wait(void);

/* Interrupts taken on this GSI since boot. */
uint32_t interrupts_taken(uint32_t gsi);
#endif
