// The guest's first process, for the kernel of vireo.config.
//
// It mounts what a shell expects, then does one of two things, as the kernel
// command line says (the kernel hands unknown `NAME=value` words to init as
// environment):
//
//   VIREO_EXEC="..."  run these shell commands, report their exit status
//   (otherwise)       an interactive shell on the console
//
// and then writes everything to disk and powers off. With VIREO_NONCE=n it tells
// the host what happens by escape sequences that a terminal ignores:
//
//   ESC _vireo:n:begin ESC \        the commands' output starts here
//   ESC _vireo:n:end:STATUS ESC \   it ends here; their exit status
//   ESC _vireo:n:ready ESC \        the interactive shell starts
//
// VIREO_EXEC's value is encoded: `\0` and three octal digits is that byte.
// VIREO_ROWS and VIREO_COLS give the terminal's size.
//
// This is a freestanding C program and not a script because on a host that
// emulates the guest's kernel mode a system call costs 0.4 ms, but a process
// tens of milliseconds.

#include <asm/termbits.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <net/if.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "syscall.h"

// syslog(2)'s action and its argument.
#define SET_CONSOLE_LEVEL 8
#define EMERGENCIES_ONLY 1

// --- System calls

static long attach(const char *source, const char *target, const char *type,
		   unsigned long flags, const char *options)
{
	return CALL(mount, source, target, type, flags, options);
}

static long control(int fd, unsigned long request, const void *argument)
{
	return CALL(ioctl, fd, request, argument, 0, 0);
}

// --- Strings

// gcc makes calls to these of initialisers and loops, library or no library.
void *memset(void *to, int byte, unsigned long n)
{
	char *p = to;

	while (n--)
		*p++ = byte;
	return to;
}

// The rest of `s` after `prefix`, or null if it begins otherwise.
static char *after(char *s, const char *prefix)
{
	while (*prefix)
		if (*s++ != *prefix++)
			return 0;
	return s;
}

static char *append(char *end, const char *s)
{
	while (*s)
		*end++ = *s++;
	return end;
}

static char *append_number(char *end, unsigned int n)
{
	if (n >= 10)
		end = append_number(end, n / 10);
	*end++ = '0' + n % 10;
	return end;
}

static unsigned int number(const char *s)
{
	unsigned int n = 0;

	while (s && *s >= '0' && *s <= '9')
		n = n * 10 + (*s++ - '0');
	return n;
}

static int is_octal(char c)
{
	return c >= '0' && c <= '7';
}

// Decodes, in place, bytes written as `escape` and three octal digits.
static void decode(char *s, const char *escape)
{
	char *to = s, *digits;

	while (*s) {
		digits = after(s, escape);
		if (digits && is_octal(digits[0]) && is_octal(digits[1]) &&
		    is_octal(digits[2])) {
			*to++ = (digits[0] - '0') << 6 |
				(digits[1] - '0') << 3 | (digits[2] - '0');
			s = digits + 3;
		} else {
			*to++ = *s++;
		}
	}
	*to = 0;
}

// --- What the command line said

static char *exec, *nonce, *rows, *cols;

// Takes our own words out of the environment: the commands don't see them.
static void read_environment(char **env)
{
	static const struct {
		const char *prefix;
		char **value;
	} words[] = {
		{ "VIREO_EXEC=", &exec },
		{ "VIREO_NONCE=", &nonce },
		{ "VIREO_ROWS=", &rows },
		{ "VIREO_COLS=", &cols },
	};
	char **to = env;

	for (; *env; env++) {
		unsigned int i;
		char *value = 0;

		for (i = 0; i < 4 && !value; i++)
			if ((value = after(*env, words[i].prefix)))
				*words[i].value = value;
		if (!value)
			*to++ = *env;
	}
	*to = 0;
}

static void tell(const char *event, int status)
{
	char message[160], *end = message;

	if (!nonce || length(nonce) > 100)
		return;
	end = append(end, "\033_vireo:");
	end = append(end, nonce);
	end = append(end, event);
	if (status >= 0)
		end = append_number(end, status);
	end = append(end, "\033\\");
	CALL(write, 1, message, end - message, 0, 0);
}

// --- Start

static void mount_all(void)
{
	// The root image is read-only: /tmp, /root, /mnt, /var/log and
	// /etc/resolv.conf in it are links into /run.
	static const char *const directories[] = {
		"/run/tmp", "/run/root", "/run/mnt", "/run/log", "/dev/pts",
		"/dev/shm",
	};
	unsigned int i;

	// Mounted already if the kernel found its root on a disk, but not if it
	// runs from an initrd.
	if (CALL(access, "/dev/null", 0, 0, 0, 0) < 0)
		attach("dev", "/dev", "devtmpfs", 0, 0);
	attach("proc", "/proc", "proc", 0, 0);
	attach("sys", "/sys", "sysfs", 0, 0);
	attach("run", "/run", "tmpfs", 0, "mode=755");
	for (i = 0; i < sizeof(directories) / sizeof(*directories); i++)
		CALL(mkdir, directories[i], 0755, 0, 0, 0);
	CALL(chmod, "/run/tmp", 01777, 0, 0, 0);
	CALL(symlink, "/proc/net/pnp", "/run/resolv.conf", 0, 0, 0);
	CALL(symlink, "/proc/self/fd", "/dev/fd", 0, 0, 0);
	attach("pts", "/dev/pts", "devpts", 0, 0);
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = CALL(socket, AF_INET, SOCK_DGRAM, 0, 0, 0);

	control(fd, SIOCSIFFLAGS, &request);
	CALL(close, fd, 0, 0, 0, 0);
}

static void open_console(void)
{
	// The kernel's own has no name in this /dev, and from an initrd there
	// is none at all.
	long fd = CALL(open, "/dev/console", O_RDWR, 0, 0, 0);
	int to;

	for (to = 0; fd >= 0 && to < 3; to++)
		CALL(dup2, fd, to, 0, 0, 0);
	if (fd > 2)
		CALL(close, fd, 0, 0, 0, 0);
	CALL(setsid, 0, 0, 0, 0, 0);
	control(0, TIOCSCTTY, 0);
	if (rows && cols) {
		struct winsize size = { number(rows), number(cols), 0, 0 };

		control(0, TIOCSWINSZ, &size);
	}
}

// The commands' output reaches the host byte for byte: no CR before LF, and no
// kernel messages between.
static void quieten_console(void)
{
	struct termios settings;

	CALL(syslog, SET_CONSOLE_LEVEL, 0, EMERGENCIES_ONLY, 0, 0);
	if (control(1, TCGETS, &settings) == 0) {
		settings.c_oflag &= ~OPOST;
		settings.c_lflag &= ~ECHO;
		control(1, TCSETS, &settings);
	}
}

// --- The shell

static void become_shell(char **env)
{
	static char *interactive[] = { "sh", 0 };
	static char *commands[] = { "sh", "-c", 0, 0 };

	// PID 1 keeps the session, so that it outlives the shell; the shell
	// takes the terminal for a session of its own.
	CALL(setsid, 0, 0, 0, 0, 0);
	control(0, TIOCSCTTY, (void *)1);
	if (exec) {
		commands[2] = exec;
		CALL(chdir, "/root", 0, 0, 0, 0);
		CALL(close, 0, 0, 0, 0, 0);
		CALL(open, "/dev/null", O_RDONLY, 0, 0, 0);
	}
	CALL(execve, "/bin/sh", exec ? commands : interactive, env, 0, 0);
	CALL(exit, 127, 0, 0, 0, 0);
}

// Waits for `child`, and for every orphan that ends meanwhile. The answer is
// what a shell would have in `$?`.
static int wait_for(long child)
{
	int status = 0;
	long pid;

	do
		pid = CALL(wait4, -1, &status, 0, 0, 0);
	while (pid > 0 && pid != child);
	if (pid < 0)
		return 127;
	return status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
}

// --- End

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

static void power_off(void)
{
	CALL(sync, 0, 0, 0, 0, 0);
	unmount_disks();
	// Until the console has sent everything.
	control(1, TCSBRK, (void *)1);
	CALL(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
	     LINUX_REBOOT_CMD_POWER_OFF, 0, 0);
}

void start(long *stack)
{
	// Arguments, a null, then the environment, which the kernel gives at
	// most 32 words and leaves room for none: HOME and TERM come from it.
	static char *env[64] = {
		"PATH=/bin:/sbin:/usr/bin:/usr/sbin",
		"HOME=/root",
		"PS1=\\w # ",
		"SHELL=/bin/sh",
		"USER=root",
	};
	char **from = (char **)stack + 1 + *stack + 1, **to = env + 5;
	long child;

	for (; *from; from++)
		if (!after(*from, "HOME=") && to < env + 63)
			*to++ = *from;
	read_environment(env);

	mount_all();
	open_console();
	loopback_up();
	if (exec) {
		decode(exec, "\\0");
		quieten_console();
	}
	tell(exec ? ":begin" : ":ready", -1);
	child = CALL(fork, 0, 0, 0, 0, 0);
	if (child == 0)
		become_shell(env);
	if (exec)
		tell(":end:", wait_for(child));
	else
		wait_for(child);
	power_off();
	for (;;)
		CALL(pause, 0, 0, 0, 0, 0);
}

asm(".globl _start\n"
    "_start:\n"
    "	mov %rsp, %rdi\n"
    "	and $-16, %rsp\n"
    "	call start\n");
