// The shell, started before it is known what it is to do: it waits until it is
// told to go on.

#pragma once

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "orders.h"
#include "strings.h"
#include "syscall.h"

// It begins before there are any commands: as a login shell, which reads its
// profile first. That is a FIFO here, from which it gets its HOME and then, when
// init closes it, leave to go on. The commands are written over its argument.
#define PROFILE_HOME "/run/init"
#define PROFILE PROFILE_HOME "/.profile"

// Longer commands are read from a file.
#define ROOM 4096
#define COMMANDS "/run/commands"

struct shell {
	long pid;
	long profile;		// the FIFO
	long memory;		// /proc/PID/mem
	unsigned long argument;	// where the commands go
};

static void become_shell(char **env, int commands)
{
	static char room[ROOM];
	static char *arguments[] = { "sh", "-l", "-c", room, 0 };

	leave_ports();
	// In init's session: as the leader of one ends, the kernel throws away
	// what its terminal has not sent yet.
	if (commands) {
		memset(room, ' ', ROOM - 1);
		CALL(chdir, "/root", 0, 0, 0, 0);
		CALL(close, 0, 0, 0, 0, 0);
		CALL(open, "/dev/null", O_RDONLY, 0, 0, 0);
	} else {
		arguments[2] = 0;
	}
	CALL(execve, "/bin/sh", arguments, env, 0, 0);
	CALL(exit, 127, 0, 0, 0, 0);
}

static long open_of(long pid, const char *name, int flags)
{
	char path[64], *end = append(append_number(append(path, "/proc/"), pid),
				     name);

	*end = 0;
	return CALL(open, path, flags | O_CLOEXEC, 0, 0, 0);
}

// Field 49 of proc(5)'s stat: where the arguments end. The last is the room.
static unsigned long end_of_arguments(long pid)
{
	char stat[1024], *word = stat;
	long fd = open_of(pid, "/stat", O_RDONLY), field;
	long n = CALL(read, fd, stat, sizeof(stat) - 1, 0, 0);

	CALL(close, fd, 0, 0, 0, 0);
	stat[n > 0 ? n : 0] = 0;
	for (field = 1; field < 49; field++)
		word = split(word, ' ');
	return number(word);
}

// A shell that waits. `env` has room for one more.
static void start_shell(struct shell *shell, char **env, int commands)
{
	static const char home[] = "HOME=/root\nHISTFILE=/root/.ash_history\n";
	int unset = commands ? sizeof("HISTFILE=/root/.ash_history\n") - 1 : 0;
	int slot;

	CALL(mkdir, PROFILE_HOME, 0700, 0, 0, 0);
	CALL(mknod, PROFILE, S_IFIFO | 0600, 0, 0, 0);
	for (slot = 0; !after(env[slot], "HOME="); slot++)
		;
	env[slot] = "HOME=" PROFILE_HOME;
	shell->pid = CALL(fork, 0, 0, 0, 0, 0);
	if (shell->pid == 0)
		become_shell(env, commands);
	env[slot] = "HOME=/root";
	// The terminal is the shell's, and not init's; one for people takes it
	// by itself.
	if (commands) {
		CALL(setpgid, shell->pid, shell->pid, 0, 0, 0);
		control(0, TIOCSPGRP, &(int){ shell->pid });
	}
	// Returns when the shell is there.
	shell->profile = CALL(open, PROFILE, O_WRONLY | O_CLOEXEC, 0, 0, 0);
	CALL(write, shell->profile, home, sizeof(home) - 1 - unset, 0, 0);
	CALL(unlink, PROFILE, 0, 0, 0, 0);
	CALL(rmdir, PROFILE_HOME, 0, 0, 0, 0);
	if (!commands)
		return;
	shell->argument = end_of_arguments(shell->pid) - ROOM;
	shell->memory = open_of(shell->pid, "/mem", O_WRONLY);
}

static void run_commands(struct shell *shell, char *commands)
{
	unsigned long n = length(commands);
	long fd;

	if (n >= ROOM) {
		fd = CALL(open, COMMANDS, O_CREAT | O_WRONLY, 0600, 0, 0);
		CALL(write, fd, commands, n, 0, 0);
		CALL(close, fd, 0, 0, 0, 0);
		commands = ". " COMMANDS;
		n = length(commands);
	}
	CALL(pwrite64, shell->memory, commands, n + 1, shell->argument, 0);
	// The arguments' last byte: with another than zero there, ps(1) shows
	// them as far as the first zero, and not the room.
	CALL(pwrite64, shell->memory, " ", 1, shell->argument + ROOM - 1, 0);
	CALL(close, shell->memory, 0, 0, 0, 0);
	CALL(close, shell->profile, 0, 0, 0, 0);
}

// An interactive shell may go on; `type` is its terminal's.
static void run_terminal(struct shell *shell, const char *type)
{
	char line[128], *end = line;

	if (*type && length(type) < 64) {
		end = append(append(append(end, "export TERM="), type), "\n");
		CALL(write, shell->profile, line, end - line, 0, 0);
	}
	CALL(close, shell->profile, 0, 0, 0, 0);
}
