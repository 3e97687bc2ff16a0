// A command that the agent starts: its records, its streams, its process.

#pragma once

#include <asm/termbits.h>
#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "strings.h"
#include "syscall.h"

#define RECORDS_MAX 131072
#define WORDS_MAX 1024

// Texts, each behind a letter that says what it is, and with a zero behind it:
//
//   a  an argument; the first is the program
//   e  NAME=value, for its environment
//   d  the folder that it starts in
struct records {
	unsigned int count;
	int too_many;
	char bytes[RECORDS_MAX];
};

struct command {
	char *arguments[WORDS_MAX + 1];
	char *env[WORDS_MAX + 64 + 1];
	char *folder;
	int theirs[3];		// its standard streams
	int terminal;
};

static void add_records(struct records *records, const void *bytes,
			unsigned int count)
{
	if (records->count == 0)
		records->too_many = 0;
	if (count > RECORDS_MAX - records->count)
		records->too_many = 1;
	else
		memcpy(records->bytes + records->count, bytes, count);
	records->count += records->too_many ? 0 : count;
}

static int same_name(const char *a, const char *b)
{
	while (*a && *a != '=' && *a == *b)
		a++, b++;
	return *a == '=' && *b == '=';
}

// `env` is init's own, which the command gets where it has nothing else.
static long read_records(struct records *records, struct command *command,
			 char **env)
{
	char *at = records->bytes, *end = at + records->count;
	unsigned int arguments = 0, variables = 0, own, i;

	if (records->too_many || records->count == 0)
		return records->too_many ? -E2BIG : -EINVAL;
	if (end[-1] != 0)
		return -EINVAL;
	command->folder = "/root";
	while (at < end) {
		char type = *at++;

		if (at == end)
			return -EINVAL;
		if (arguments == WORDS_MAX || variables == WORDS_MAX)
			return -E2BIG;
		if (type == 'a')
			command->arguments[arguments++] = at;
		else if (type == 'e')
			command->env[variables++] = at;
		else if (type == 'd')
			command->folder = at;
		else
			return -EINVAL;
		at += length(at) + 1;
	}
	if (arguments == 0)
		return -EINVAL;
	command->arguments[arguments] = 0;
	own = variables;
	for (; *env && variables < WORDS_MAX + 64; env++) {
		for (i = 0; i < own && !same_name(*env, command->env[i]); i++)
			;
		if (i == own)
			command->env[variables++] = *env;
	}
	command->env[variables] = 0;
	return 0;
}

// --- Streams

static void close_theirs(struct command *command)
{
	int i;

	for (i = 0; i < 3; i++)
		if (command->theirs[i] >= 0)
			CALL(close, command->theirs[i], 0, 0, 0, 0);
}

static void never_wait(int fd)
{
	CALL(fcntl, fd, F_SETFL, O_NONBLOCK, 0, 0);
}

static long open_pipes(struct command *command, int *ours)
{
	int stream, ends[2];
	long failed = 0;

	command->terminal = 0;
	for (stream = 0; stream < 3; stream++)
		command->theirs[stream] = -1;
	for (stream = 0; stream < 3 && !failed; stream++) {
		failed = CALL(pipe2, ends, O_CLOEXEC, 0, 0, 0);
		if (failed)
			break;
		ours[stream] = ends[stream == 0];
		command->theirs[stream] = ends[stream != 0];
		never_wait(ours[stream]);
	}
	if (failed)
		close_theirs(command);
	return failed;
}

static void set_terminal_size(int fd, unsigned int rows, unsigned int columns)
{
	struct winsize size = { rows, columns, 0, 0 };

	control(fd, TIOCSWINSZ, &size);
}

// Its three streams are one terminal, of which we have the other side.
static long open_terminal(struct command *command, int *ours, unsigned int rows,
			  unsigned int columns)
{
	int unlocked = 0, flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
	long fd = CALL(open, "/dev/ptmx", flags | O_NONBLOCK, 0, 0, 0), peer;

	command->terminal = 1;
	if (fd < 0)
		return fd;
	ours[1] = fd;
	control(fd, TIOCSPTLCK, &unlocked);
	peer = control(fd, TIOCGPTPEER, (void *)(long)flags);
	if (peer < 0)
		return peer;
	ours[0] = CALL(fcntl, fd, F_DUPFD_CLOEXEC, 0, 0, 0);
	set_terminal_size(fd, rows, columns);
	command->theirs[0] = peer;
	command->theirs[1] = CALL(fcntl, peer, F_DUPFD_CLOEXEC, 0, 0, 0);
	command->theirs[2] = CALL(fcntl, peer, F_DUPFD_CLOEXEC, 0, 0, 0);
	return 0;
}

// --- The process

static void complain(const char *program, const char *why)
{
	CALL(write, 2, program, length(program), 0, 0);
	CALL(write, 2, why, length(why), 0, 0);
}

// As a shell does: in each folder of its PATH, unless it has a slash.
static void execute(struct command *command)
{
	char *program = command->arguments[0], *search = "", *at, **env, *s;
	long failed = -ENOENT;

	for (s = program; *s && *s != '/'; s++)
		;
	for (env = command->env; *env && !*s; env++)
		if ((at = after(*env, "PATH=")))
			search = at;
	if (*s)
		failed = CALL(execve, program, command->arguments, command->env,
			      0, 0);
	while (!*s && *search && *program && length(program) < 256) {
		char path[1024], *end = path;
		long now;

		while (*search && *search != ':') {
			if (end < path + 512)
				*end++ = *search;
			search++;
		}
		search += *search == ':';
		*append(append(end, "/"), program) = 0;
		now = CALL(execve, path, command->arguments, command->env, 0,
			   0);
		if (now != -ENOENT && now != -ENOTDIR)
			failed = now;
	}
	complain(program, failed == -ENOENT ? ": not found\n" :
					      ": can't be executed\n");
	quit(failed == -ENOENT ? 127 : 126);
}

static void become_command(struct command *command)
{
	unsigned long none = 0;
	int i;

	CALL(setsid, 0, 0, 0, 0, 0);
	for (i = 0; i < 3; i++)
		CALL(dup2, command->theirs[i], i, 0, 0, 0);
	if (command->terminal)
		control(0, TIOCSCTTY, 0);
	if (CALL(chdir, command->folder, 0, 0, 0, 0) < 0) {
		complain(command->folder, ": no such folder\n");
		quit(126);
	}
	CALL(rt_sigprocmask, SIG_SETMASK, &none, 0, sizeof(none), 0);
	execute(command);
}

// A copy of init's page tables would take most of the time: the child has
// init's memory, on a stack of its own, until it executes its program, and init
// waits for that.
static long start_process(struct command *command)
{
	static char stack[16384] __attribute__((aligned(16)));
	register void (*entry)(struct command *) asm("r12") = become_command;
	register struct command *argument asm("r13") = command;
	long result;

	asm volatile("syscall\n"
		     "	test %%rax, %%rax\n"
		     "	jnz 1f\n"
		     "	xor %%ebp, %%ebp\n"
		     "	mov %%r13, %%rdi\n"
		     "	call *%%r12\n"
		     "	hlt\n"
		     "1:"
		     : "=a"(result)
		     : "a"(__NR_clone), "D"(CLONE_VM | CLONE_VFORK | SIGCHLD),
		       "S"(stack + sizeof(stack)), "d"(0), "r"(entry),
		       "r"(argument)
		     : "rcx", "r11", "r10", "r8", "r9", "memory");
	return result;
}
