/* The console: a 16550A at the first PC serial port, and formatted lines on it. */
#pragma once

#define COM1 0x3f8
#define COM1_INTERRUPT_ENABLE (COM1 + 1)
#define COM1_FIFO_CONTROL (COM1 + 2)
#define COM1_LINE_STATUS (COM1 + 5)
#define TRANSMITTER_EMPTY 0x20
#define FIFO_DEPTH 16

#ifndef __ASSEMBLER__
void serial_init(void);

/* printf with %s %c %d %u %lu %x %lx, minimum width and zero padding. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
#endif
