// Do the vector registers of two processes stay apart?
//
// Two processes fill XMM, YMM and ZMM registers, as far as CPUID and XGETBV say
// that programs may use them, each with a pattern of its own; they yield to each
// other and look whether the pattern is still there. Prints the widest kind and
// how it went, such as `ZMM kept`; exits with 1 if a register was not kept.
//
// A freestanding program for the same reason as init.c, and because a C library
// would use these registers itself.

#include <cpuid.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "syscall.h"

#define ROUNDS 200

enum { XMM, YMM, ZMM };

static const char *const names[] = { "XMM", "YMM", "ZMM" };

struct pattern {
	unsigned long words[8];
} __attribute__((aligned(64)));

// XCR0: SSE and AVX; opmasks and both halves of ZMM besides.
#define XCR0_YMM 0x06
#define XCR0_ZMM 0xe6

static int widest(void)
{
	unsigned int a, b, c, d, xcr0;

	__cpuid(1, a, b, c, d);
	if (!(c & bit_OSXSAVE) || !(c & bit_AVX))
		return XMM;
	asm volatile("xgetbv" : "=a"(xcr0) : "c"(0) : "edx");
	if ((xcr0 & XCR0_YMM) != XCR0_YMM)
		return XMM;
	__cpuid_count(7, 0, a, b, c, d);
	if ((b & bit_AVX512F) && (xcr0 & XCR0_ZMM) == XCR0_ZMM)
		return ZMM;
	return YMM;
}

// Without libc, and without vectors in what gcc makes of loops.
static int kept(int kind, unsigned char byte)
{
	struct pattern mine, found;
	unsigned int i, round;

	for (i = 0; i < 8; i++)
		mine.words[i] = byte * 0x0101010101010101ul;
	asm volatile("movdqa %0, %%xmm3" : : "m"(mine));
	if (kind >= YMM)
		asm volatile("vmovdqa %0, %%ymm6" : : "m"(mine));
	if (kind >= ZMM)
		asm volatile("vmovdqa64 %0, %%zmm17" : : "m"(mine));
	for (round = 0; round < ROUNDS; round++) {
		CALL(sched_yield, 0, 0, 0, 0, 0);
		found = mine;
		asm volatile("movdqa %%xmm3, %0" : "+m"(found));
		for (i = 0; i < 2; i++)
			if (found.words[i] != mine.words[i])
				return 0;
		if (kind >= YMM)
			asm volatile("vmovdqa %%ymm6, %0" : "+m"(found));
		for (i = 0; i < 4; i++)
			if (found.words[i] != mine.words[i])
				return 0;
		if (kind >= ZMM)
			asm volatile("vmovdqa64 %%zmm17, %0" : "+m"(found));
		for (i = 0; i < 8; i++)
			if (found.words[i] != mine.words[i])
				return 0;
	}
	return 1;
}

static void say(const char *text)
{
	CALL(write, 1, text, length(text), 0, 0);
}

void start(void)
{
	int kind = widest(), status = 1, child, ok;

	child = CALL(fork, 0, 0, 0, 0, 0);
	ok = kept(kind, child ? 0x55 : 0xaa);
	if (child == 0)
		quit(!ok);
	CALL(wait4, child, &status, 0, 0, 0);
	ok = ok && status == 0;
	say(names[kind]);
	say(ok ? " kept\n" : " lost\n");
	quit(!ok);
}

asm(".globl _start\n"
    "_start:\n"
    "	and $-16, %rsp\n"
    "	call start\n");
