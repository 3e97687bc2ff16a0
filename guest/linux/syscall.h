// System calls without a C library, for the freestanding programs here.

#pragma once

#include <sys/syscall.h>

static long syscall6(long number, long a, long b, long c, long d, long e)
{
	long result;
	register long r10 asm("r10") = d;
	register long r8 asm("r8") = e;

	asm volatile("syscall"
		     : "=a"(result)
		     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
		     : "rcx", "r11", "memory");
	return result;
}

#define CALL(name, a, b, c, d, e)                                             \
	syscall6(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d),     \
		 (long)(e))
