// What init is told by the machine that it runs in: its orders.
//
// At three I/O ports a monitor answers, or all ones come because none does:
//
//   greeting  ORDERS_GREETING, and in the low byte what the shell will be for
//   length    of the orders in bytes; or that they are not there yet
//   data      the orders, 32 bits at a time
//
// The machine may be saved while they are not there. It then goes on any number
// of times, each time with other orders, so everything before is done once.
//
// The orders are records: a type and a length of 16 bits each, then as many
// bytes, and nothing to the next multiple of four.

#pragma once

#include "syscall.h"

#define ORDERS_PORT 0x7e00
#define ORDERS_GREETING 0x56495200	// "VIR", and in the low byte:
#define ORDERS_FOR_TERMINAL 0
#define ORDERS_FOR_COMMANDS 1
#define ORDERS_NOT_YET 0xfffffffe
#define ORDERS_MAX 65536

enum {
	ORDER_NONCE = 1,	// for the marks on the console
	ORDER_COMMANDS,		// for the shell
	ORDER_SIZE,		// of the terminal: rows, columns, 16 bits each
	ORDER_TERM,		// its type
	ORDER_TIME,		// seconds since 1970, 64 bits; nanoseconds, 32
	ORDER_SEED,		// random bytes
	ORDER_BIND,		// a byte: virtio device n gets its driver
	ORDER_ADDRESS,		// what Linux has after ip=
};

static inline unsigned int in32(unsigned short port)
{
	unsigned int value;

	asm volatile("inl %1, %0" : "=a"(value) : "d"(port));
	return value;
}

// Whether anybody gives orders, and what for.
static inline long greeting(void)
{
	unsigned int value;

	if (CALL(ioperm, ORDERS_PORT, 12, 1, 0, 0) < 0)
		return -1;
	value = in32(ORDERS_PORT);
	return (value ^ ORDERS_GREETING) < 256 ? (long)(value & 0xff) : -1;
}

// For a child, which is not told anything: with ports of its own a process takes
// 25 instructions more at each return to user mode, and so do its children.
static inline void leave_ports(void)
{
	CALL(ioperm, ORDERS_PORT, 12, 0, 0, 0);
}

// Waits for the orders. Returns their length; there may be none, after all.
static inline unsigned long read_orders(void *orders)
{
	unsigned int bytes, at;
	unsigned long words;
	void *to = orders;

	*(volatile char *)orders = 0;
	do
		bytes = in32(ORDERS_PORT + 4);
	while (bytes == ORDERS_NOT_YET);
	if (bytes > ORDERS_MAX)
		return 0;
	words = (bytes + 3) / 4;
	// A page fault in the middle of REP INS loses what has been read.
	for (at = 4096; at < bytes + 4; at += 4096)
		((volatile char *)orders)[at] = 0;
	asm volatile("cld; rep insl"
		     : "+D"(to), "+c"(words)
		     : "d"(ORDERS_PORT + 8)
		     : "memory");
	return bytes;
}
