// The guest's first process, for the kernel of vireo.config.
//
// It mounts what a shell expects, starts the shell, and asks the machine for
// its orders (orders.h): to run these commands and report their exit status, or
// to be a terminal's. The shell waits for that in its profile, since to make a
// process takes most of a second where kernel mode is emulated, and a machine
// that was saved while init asks goes on from there.
//
// Where nobody gives orders the kernel command line says what to do. The kernel
// hands unknown `NAME=value` words to init as environment:
//
//   VIREO_EXEC="..."  run these shell commands, report their exit status
//   (otherwise)       an interactive shell on the console
//
// In the end everything is written to disk, and the machine powers off; after
// Ctrl+Alt+Del it restarts. With VIREO_NONCE=n it tells the host what happens by escape sequences that a
// terminal ignores:
//
//   ESC _vireo:n:begin ESC \        the commands' output starts here
//   ESC _vireo:n:end:STATUS ESC \   it ends here; their exit status
//   ESC _vireo:n:ready ESC \        the interactive shell starts
//
// With VIREO_AGENT=1 there is a port of a virtio console by which the host runs
// more commands, while the shell goes on (agent.h).
//
// VIREO_EXEC's value is encoded: `\0` and three octal digits is that byte.
// VIREO_ROWS and VIREO_COLS give the terminal's size.
//
// This is a freestanding C program and not a script because on a host that
// emulates the guest's kernel mode a system call costs 0.4 ms, but a process
// tens of milliseconds.

#include <asm/termbits.h>
#include <fcntl.h>
#include <linux/random.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "end.h"
#include "network.h"
#include "orders.h"
#include "shell.h"
#include "strings.h"
#include "syscall.h"

// syslog(2)'s action and its argument.
#define SET_CONSOLE_LEVEL 8
#define EMERGENCIES_ONLY 1

// --- What the command line said

static char *exec, *nonce, *rows, *cols, *with_agent;

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
		{ "VIREO_AGENT=", &with_agent },
	};
	char **to = env;

	for (; *env; env++) {
		unsigned int i;
		char *value = 0;

		for (i = 0; i < 5 && !value; i++)
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
}

static void set_size(unsigned int rows, unsigned int columns)
{
	struct winsize size = { rows, columns, 0, 0 };

	control(0, TIOCSWINSZ, &size);
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

// Waits for `child`, and for every orphan that ends meanwhile. The answer is
// what a shell would have in `$?`.
static int wait_for(long child, char **env)
{
	int status = 0;
	long pid = child;

	if (agent_port >= 0)
		status = serve_until(child, env);
	else
		do
			pid = CALL(wait4, -1, &status, 0, 0, 0);
		while (pid > 0 && pid != child);
	if (pid < 0)
		return 127;
	return status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
}

// --- Orders

struct orders {
	char *commands;
	const char *term;
};

static char text[ORDERS_MAX + 4096] __attribute__((aligned(4096)));

// Drivers for the devices that have none yet, in the order given.
static void bind_devices(const unsigned char *devices, unsigned int count)
{
	long fd = CALL(open, "/sys/bus/virtio/drivers_probe", O_WRONLY, 0, 0,
		       0);

	for (; count--; devices++) {
		char name[16], *end = append(name, "virtio");

		end = append_number(end, *devices);
		CALL(write, fd, name, end - name, 0, 0);
	}
	CALL(close, fd, 0, 0, 0, 0);
}

static void set_time(const char *now)
{
	CALL(clock_settime, 0, now, 0, 0, 0);
}

static void add_seed(const void *seed, unsigned int count)
{
	struct {
		struct rand_pool_info info;
		char bytes[64];
	} pool = { .info = { .entropy_count = 8 * count, .buf_size = count } };
	long fd = CALL(open, "/dev/urandom", O_WRONLY, 0, 0, 0);

	if (count <= sizeof(pool.bytes)) {
		memcpy(pool.info.buf, seed, count);
		control(fd, RNDADDENTROPY, &pool);
		control(fd, RNDRESEEDCRNG, 0);
	}
	CALL(close, fd, 0, 0, 0, 0);
}

// Carries out what has to be before the shell, in the order given. Records end
// with a zero byte where they are texts.
static void obey(struct orders *orders, char *at, unsigned long left, char **env)
{
	while (left >= 4) {
		unsigned int type = *(unsigned short *)at;
		unsigned int count = *(unsigned short *)(at + 2);
		unsigned long whole = (4ul + count + 3) & ~3ul;
		char *value = at + 4;

		if (whole > left)
			return;
		at += whole;
		left -= whole;
		switch (type) {
		case ORDER_NONCE:
			nonce = value;
			break;
		case ORDER_COMMANDS:
			orders->commands = value;
			break;
		case ORDER_SIZE:
			set_size(((unsigned short *)value)[0],
				 ((unsigned short *)value)[1]);
			break;
		case ORDER_TERM:
			orders->term = value;
			break;
		case ORDER_TIME:
			set_time(value);
			break;
		case ORDER_SEED:
			add_seed(value, count);
			break;
		case ORDER_BIND:
			bind_devices((unsigned char *)value, count);
			break;
		case ORDER_ADDRESS:
			configure_network(value, env);
			break;
		}
	}
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
	struct orders orders = { .term = "" };
	struct shell shell;
	long ordered, mode;

	for (; *from; from++)
		if (!after(*from, "HOME=") && to < env + 63)
			*to++ = *from;
	read_environment(env);

	mount_all();
	open_console();
	interface_up("lo");
	if (with_agent)
		open_agent();
	ordered = greeting();
	mode = ordered >= 0 ? ordered : exec ? ORDERS_FOR_COMMANDS : 0;
	if (mode == ORDERS_FOR_COMMANDS)
		quieten_console();
	start_shell(&shell, env, mode == ORDERS_FOR_COMMANDS);
	shells = shell.pid;
	hear_keys();
	if (ordered >= 0)
		obey(&orders, text, read_orders(text), env);
	else if (exec)
		decode(orders.commands = exec, "\\0");
	if (rows && cols)
		set_size(number(rows), number(cols));
	if (mode == ORDERS_FOR_COMMANDS) {
		tell(":begin", -1);
		run_commands(&shell, orders.commands ? orders.commands : "");
		ordered = wait_for(shell.pid, env);
		// Who hears of the end may take it for the machine's.
		put_away();
		tell(":end:", ordered);
	} else {
		tell(":ready", -1);
		run_terminal(&shell, orders.term);
		wait_for(shell.pid, env);
		put_away();
	}
	leave(LINUX_REBOOT_CMD_POWER_OFF);
}

asm(".globl _start\n"
    "_start:\n"
    "	mov %rsp, %rdi\n"
    "	and $-16, %rsp\n"
    "	call start\n");
