// The end: processes hear of it, disks are unmounted, and the machine powers
// off; or it restarts, after Ctrl+Alt+Del.

#pragma once

#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <signal.h>
#include <sys/mount.h>

#include "strings.h"
#include "syscall.h"

// Takes the line at `s` apart at its spaces: a device, where it is mounted.
static char *split_mount(char *s, char **device, char **target)
{
	*device = s;
	while (*s && *s != ' ')
		s++;
	if (*s)
		*s++ = 0;
	*target = s;
	while (*s && *s != ' ')
		s++;
	if (*s)
		*s++ = 0;
	while (*s && *s++ != '\n')
		;
	decode(*target, "\\");
	return s;
}

// Unmounts the disks, the last one mounted first, so that a file system on one
// is clean on the host. What can't be unmounted is made read-only.
static void unmount_disks(void)
{
	static char table[16384];
	static char *targets[128];
	char *line = table, *device, *target;
	long n, fd;
	int count = 0;

	fd = CALL(open, "/proc/mounts", O_RDONLY, 0, 0, 0);
	while ((n = CALL(read, fd, line, table + sizeof(table) - 1 - line, 0,
			 0)) > 0)
		line += n;
	for (line = table; *line && count < 128;) {
		line = split_mount(line, &device, &target);
		if (after(device, "/dev/"))
			targets[count++] = target;
	}
	if (count > 1)
		CALL(kill, -1, SIGKILL, 0, 0, 0);
	while (count--)
		if (CALL(umount2, targets[count], 0, 0, 0, 0) < 0)
			attach(0, targets[count], 0, MS_REMOUNT | MS_RDONLY, 0);
}

static long shells;		// the process group of the shell

// The shell has ended, or will. As at the end of a session, what it left in the
// background hears of it.
static void end_session(void)
{
	// Init may wait for the terminal, whoever has it, and ends only once.
	unsigned long mask = 1ul << (SIGTTOU - 1) | 1ul << (SIGINT - 1);

	CALL(rt_sigprocmask, SIG_BLOCK, &mask, 0, sizeof(mask), 0);
	CALL(kill, -shells, SIGHUP, 0, 0, 0);
}

static void put_away(void)
{
	end_session();
	CALL(sync, 0, 0, 0, 0, 0);
	unmount_disks();
}

static void reboot(unsigned int how)
{
	CALL(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, how, 0, 0);
}

static void leave(unsigned int how)
{
	// Until the console has sent everything.
	control(1, TCSBRK, (void *)1);
	reboot(how);
	for (;;)
		CALL(pause, 0, 0, 0, 0, 0);
}

// --- Ctrl+Alt+Del

static void restart(int signal)
{
	int group = 0;

	// A terminal sends SIGINT, too, to whom it belongs: to init, where
	// there is no shell yet, or no more.
	if (control(0, TIOCGPGRP, &group) == 0 && group == 1)
		return;
	put_away();
	leave(LINUX_REBOOT_CMD_RESTART);
}

asm("return_from_signal:\n"
    "	mov $15, %eax\n"	// rt_sigreturn
    "	syscall\n");
void return_from_signal(void);

// From now on the keys are a SIGINT for init. Otherwise the kernel would restart
// at once, and leave disks as they are.
static void hear_keys(void)
{
	static const struct {
		void (*handler)(int);
		unsigned long flags;
		void (*restorer)(void);
		unsigned long mask;
	} action = {
		restart, 0x04000000 /* SA_RESTORER */ | SA_RESTART,
		return_from_signal, 0
	};

	CALL(rt_sigaction, SIGINT, &action, 0, sizeof(action.mask), 0);
	reboot(LINUX_REBOOT_CMD_CAD_OFF);
}
