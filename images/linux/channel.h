// A channel of the agent: a command, its streams, and what each side may still
// send of them.

#pragma once

#include <asm/ioctls.h>
#include <errno.h>
#include <signal.h>

#include "agent_port.h"
#include "command.h"
#include "strings.h"
#include "syscall.h"

#define CHANNELS 32
#define WINDOW 16384		// of a command's input
#define PIPE_BYTES 65536	// what a pipe may hold at the command's end

enum { ENDED_EXIT = 0, ENDED_SIGNAL, ENDED_REFUSED };

struct channel {
	int used;
	int terminal;
	long pid;		// 0: it has ended
	int status;
	int fds[3];		// our ends of its streams, or -1
	unsigned int credit[3];	// what the host takes of 1 and 2
	unsigned int left[3];	// what is still read after the end
	unsigned int from, to;	// what of `input` is to be written
	unsigned int taken;	// of it, and not yet told
	int input_ends;
	char input[WINDOW];
};

static struct channel channels[CHANNELS];

static void close_stream(struct channel *channel, int stream)
{
	if (channel->fds[stream] >= 0)
		CALL(close, channel->fds[stream], 0, 0, 0, 0);
	channel->fds[stream] = -1;
}

static void forget(struct channel *channel)
{
	int stream;

	for (stream = 0; stream < 3; stream++)
		close_stream(channel, stream);
	channel->used = 0;
}

static void kill_command(struct channel *channel, int signal)
{
	// A group of its own, whose number is nobody else's while it lives.
	if (channel->used && channel->pid > 0)
		CALL(kill, -channel->pid, signal, 0, 0, 0);
}

static void tell_end(unsigned int id, int how, int with)
{
	unsigned char end[2] = { how, with };

	put_frame(FROM_END, id, end, 2);
	forget(&channels[id]);
}

// Says so when it has ended and all that it has written is on its way.
static void settle(unsigned int id)
{
	struct channel *channel = &channels[id];
	int status = channel->status;

	if (!channel->used || channel->pid > 0 || channel->left[1] > 0 ||
	    channel->left[2] > 0)
		return;
	if (status & 0x7f)
		tell_end(id, ENDED_SIGNAL, status & 0x7f);
	else
		tell_end(id, ENDED_EXIT, status >> 8 & 0xff);
}

// What it is comes with `records`; none: it was another channel's.
static void start_command(unsigned int id, const unsigned short *how,
			  struct records *records, char **env)
{
	struct channel *channel = &channels[id];
	unsigned int credit = *(unsigned int *)(how + 4);
	struct command command;
	int stream;
	long failed;

	if (channel->used)
		return;
	channel->used = 1;
	channel->pid = 0;
	channel->from = channel->to = channel->taken = 0;
	channel->input_ends = 0;
	channel->terminal = how[0] & 1;
	for (stream = 0; stream < 3; stream++) {
		channel->fds[stream] = -1;
		channel->credit[stream] = credit;
		channel->left[stream] = 0;
	}
	failed = records ? read_records(records, &command, env) : -EINVAL;
	if (!failed)
		failed = channel->terminal ?
				 open_terminal(&command, channel->fds, how[1],
					       how[2]) :
				 open_pipes(&command, channel->fds);
	if (!failed) {
		channel->pid = start_process(&command);
		failed = channel->pid < 0 ? channel->pid : 0;
		close_theirs(&command);
	}
	if (!failed)
		return;
	channel->pid = 0;
	tell_end(id, ENDED_REFUSED, -failed);
}

static void take_input(struct channel *channel, const unsigned char *bytes,
		       unsigned int count)
{
	if (!channel->used)
		return;
	if (count == 0)
		channel->input_ends = 1;
	if (channel->to - channel->from + count > WINDOW)
		return; // more than it had credit for
	if (channel->to + count > WINDOW) {
		memcpy(channel->input, channel->input + channel->from,
		       channel->to - channel->from);
		channel->to -= channel->from;
		channel->from = 0;
	}
	memcpy(channel->input + channel->to, bytes, count);
	channel->to += count;
}

static void write_input(struct channel *channel)
{
	static const char end_of_input = 4; // a terminal's
	unsigned int count = channel->to - channel->from;
	long n = count;

	// What nobody reads is lost.
	if (count > 0 && channel->fds[0] >= 0)
		n = CALL(write, channel->fds[0], channel->input + channel->from,
			 count, 0, 0);
	if (n == -EAGAIN)
		return;
	if (n < 0) {
		close_stream(channel, 0);
		n = count;
	}
	channel->from += n;
	channel->taken += n;
	if (channel->from < channel->to)
		return;
	channel->from = channel->to = 0;
	if (!channel->input_ends)
		return;
	if (channel->terminal && channel->fds[0] >= 0)
		CALL(write, channel->fds[0], &end_of_input, 1, 0, 0);
	close_stream(channel, 0);
	channel->input_ends = 0;
}

static void give_credit(unsigned int id)
{
	struct channel *channel = &channels[id];
	unsigned int taken = channel->taken;

	if (!channel->used || taken == 0 ||
	    (taken < WINDOW / 4 && channel->to > 0))
		return;
	put_frame(FROM_CREDIT, id, &taken, sizeof(taken));
	channel->taken = 0;
}

static void read_output(unsigned int id, int stream)
{
	static char bytes[PAYLOAD];
	struct channel *channel = &channels[id];
	unsigned int most = PAYLOAD;
	long n;

	if (channel->credit[stream] < most)
		most = channel->credit[stream];
	if (channel->pid == 0 && channel->left[stream] < most)
		most = channel->left[stream];
	n = CALL(read, channel->fds[stream], bytes, most, 0, 0);
	if (n > 0) {
		put_frame(stream == 1 ? FROM_OUTPUT : FROM_ERRORS, id, bytes, n);
		channel->credit[stream] -= n;
		if (channel->pid == 0)
			channel->left[stream] -= n;
	} else if (n != -EAGAIN || channel->pid == 0) {
		close_stream(channel, stream);
		channel->left[stream] = 0;
	}
}

static void command_ended(struct channel *channel, int status)
{
	int stream, bytes;

	channel->pid = 0;
	channel->status = status;
	// What others who have its streams write later is not waited for.
	for (stream = 1; stream < 3; stream++) {
		bytes = 0;
		if (channel->fds[stream] < 0)
			continue;
		if (channel->terminal)
			bytes = PIPE_BYTES;
		else
			control(channel->fds[stream], FIONREAD, &bytes);
		channel->left[stream] = bytes;
	}
}
