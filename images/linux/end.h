// The end: processes hear of it, disks are unmounted, and the machine powers
// off.

#pragma once

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

// The shell has ended. As at the end of a session, what it left in the
// background hears of it; init itself, as PID 1, does not.
static void end_session(void)
{
	unsigned long mask = 1ul << (SIGTTOU - 1);

	CALL(kill, 0, SIGHUP, 0, 0, 0);
	// Init may wait for the terminal, whoever has it.
	CALL(rt_sigprocmask, SIG_BLOCK, &mask, 0, sizeof(mask), 0);
}

static void put_away(void)
{
	end_session();
	CALL(sync, 0, 0, 0, 0, 0);
	unmount_disks();
}

static void power_off(void)
{
	// Until the console has sent everything.
	control(1, TCSBRK, (void *)1);
	CALL(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
	     LINUX_REBOOT_CMD_POWER_OFF, 0, 0);
}
