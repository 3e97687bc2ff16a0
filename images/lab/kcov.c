// Writes a text to a file, and has the kernel note where its code comes by
// meanwhile (KCOV):
//
//   kcov FILE TEXT
//
// The notes are at BUFFER: a word that counts them, and an address each. How
// many there were is told, and the exit status is 1 if nothing was written.
// debugfs is mounted at its place.
//
// A freestanding program, so that nothing but the text is written meanwhile, and
// that a debugger finds little in it.

#include <fcntl.h>
#include <linux/kcov.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "syscall.h"

#define BUFFER ((unsigned long *)0x10000000)
#define ENTRIES 16384
#define KCOV "/sys/kernel/debug/kcov"

static void say(const char *text)
{
	CALL(write, 1, text, length(text), 0, 0);
}

static void say_number(unsigned long n)
{
	char digits[24], *first = digits + sizeof(digits) - 1;

	*first = 0;
	do
		*--first = '0' + n % 10;
	while (n /= 10);
	say(first);
}

// mmap(2) has a sixth argument, which is 0 here.
static long map(void *at, unsigned long size, int fd)
{
	long result;
	register long flags asm("r10") = MAP_SHARED | MAP_FIXED;
	register long file asm("r8") = fd;
	register long offset asm("r9") = 0;

	asm volatile("syscall"
		     : "=a"(result)
		     : "a"(__NR_mmap), "D"(at), "S"(size),
		       "d"(PROT_READ | PROT_WRITE), "r"(flags), "r"(file),
		       "r"(offset)
		     : "rcx", "r11", "memory");
	return result;
}

static int trace_on(void)
{
	int kcov = CALL(open, KCOV, O_RDWR, 0, 0, 0);

	return kcov >= 0 &&
	       control(kcov, KCOV_INIT_TRACE, (void *)ENTRIES) == 0 &&
	       map(BUFFER, ENTRIES * sizeof(*BUFFER), kcov) == (long)BUFFER &&
	       control(kcov, KCOV_ENABLE, (void *)KCOV_TRACE_PC) == 0;
}

__attribute__((noinline)) static long write_text(const char *file,
						 const char *text)
{
	int fd = CALL(open, file, O_WRONLY, 0, 0, 0);

	BUFFER[0] = 0;
	return CALL(write, fd, text, length(text), 0, 0);
}

void start(long *stack)
{
	char **arguments = (char **)(stack + 1);
	unsigned long places;
	long written;

	if (stack[0] != 3) {
		say("kcov FILE TEXT\n");
		quit(2);
	}
	if (!trace_on()) {
		say("kcov: no " KCOV "\n");
		quit(2);
	}
	written = write_text(arguments[1], arguments[2]);
	places = BUFFER[0];
	say_number(places);
	say(" places\n");
	quit(written < 0);
}

asm(".globl _start\n"
    "_start:\n"
    "	mov %rsp, %rdi\n"
    "	and $-16, %rsp\n"
    "	call start\n");
