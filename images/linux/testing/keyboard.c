// For tests: a driver of the i8042 for a kernel that has none, so that Ctrl, Alt
// and Delete restart the guest, as they do with one. It asks, and needs no
// interrupt: what was pressed before it started waits for it.

#include <linux/reboot.h>
#include <linux/time_types.h>

#include "../syscall.h"

#define DATA 0x60
#define STATUS 0x64
#define OUTPUT_FULL 1

// Delete, as the code set 2 has it after 0xe0: the last of the three keys.
#define DELETE 0x71

static unsigned char in(unsigned short port)
{
	unsigned char value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void sleep(long long seconds, long long nanoseconds)
{
	struct __kernel_timespec time = { seconds, nanoseconds };

	CALL(nanosleep, &time, 0, 0, 0, 0);
}

// Who has pressed it has a second to see to the end.
static void restart(void)
{
	sleep(1, 0);
	CALL(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
	     LINUX_REBOOT_CMD_RESTART, 0, 0);
}

void start(void)
{

	if (CALL(ioperm, DATA, STATUS - DATA + 1, 1, 0, 0) < 0)
		quit(1);
	for (;;) {
		while (in(STATUS) & OUTPUT_FULL)
			if (in(DATA) == DELETE)
				restart();
		sleep(0, 100000000);
	}
}

asm(".globl _start\n"
    "_start:\n"
    "	mov %rsp, %rdi\n"
    "	and $-16, %rsp\n"
    "	call start\n");
