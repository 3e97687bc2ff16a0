// The agent: runs commands for the host, over a port of the virtio console.
// It is a part of init, so there is no process of its own to start.
//
// Both ways go frames (vmm/agent/protocol.ts has the other end):
//
//   type, channel: 8 bits; length: 16 bits; so many bytes; FRAME_END
//
// A channel is one command. Neither side sends more bytes of a stream than the
// other has given credit for, so neither needs more memory than it has set
// aside. A session begins with zeros, more than a frame has, and a HELLO with a
// number: whatever was in the middle of a frame, as in a machine that was saved
// there, is over with that, and commands of an earlier session are killed.
// Nothing that comes can make init wait, or end: what makes no sense is skipped.

#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "agent_port.h"
#include "channel.h"
#include "command.h"
#include "strings.h"
#include "syscall.h"

#define NOBODY_MS 500

enum {				// from the host
	TO_HELLO = 1,		// the session's number, 8 bytes
	TO_ARGUMENTS,		// a part of command.h's records
	TO_START,		// flags, rows, columns: 16 bits each; credit: 32
	TO_INPUT,		// bytes; none: the end
	TO_CREDIT,		// of stream 1 or 2: 8 bits; bytes: 32
	TO_SIGNAL,		// its number, 8 bits
	TO_SIZE,		// of the terminal: rows, columns
	TO_KILL,		// nobody wants it any more
	TO_LAST = TO_KILL,
};

static struct {
	long signals;
	int session;		// there has been one
	int nobody;		// is at the port: it is left alone for a while
	struct records records;
	unsigned int records_of;	// whose they are
	char **env;
	unsigned char in[2 * FRAME];
	unsigned int in_count;
	// What is waited for, and the channel and stream that each belongs to.
	struct pollfd polled[2 + 3 * CHANNELS];
	unsigned char owner[2 + 3 * CHANNELS], stream[2 + 3 * CHANNELS];
} agent;

// --- Frames

static void hello(const unsigned char *number)
{
	unsigned int id;

	for (id = 0; id < CHANNELS; id++) {
		kill_command(&channels[id], SIGKILL);
		if (channels[id].used)
			forget(&channels[id]);
	}
	agent.session = 1;
	agent_out.count = 0;
	agent.records.count = 0;
	put_frame(FROM_HELLO, 0, number, 8);
}

static void obey_frame(int type, unsigned int id, unsigned char *bytes,
		       unsigned int count)
{
	struct channel *channel = &channels[id];
	int stream;

	if (type == TO_HELLO && count == 8)
		hello(bytes);
	if (!agent.session)
		return;
	switch (type) {
	case TO_ARGUMENTS:
		if (agent.records_of != id)
			agent.records.count = 0;
		agent.records_of = id;
		add_records(&agent.records, bytes, count);
		break;
	case TO_START:
		if (count != 12)
			break;
		start_command(id, (unsigned short *)bytes,
			      agent.records_of == id ? &agent.records : 0,
			      agent.env);
		agent.records.count = 0;
		break;
	case TO_INPUT:
		take_input(channel, bytes, count);
		break;
	case TO_CREDIT:
		if (count == 5 && (bytes[0] == 1 || bytes[0] == 2))
			channel->credit[bytes[0]] += *(unsigned int *)(bytes + 1);
		break;
	case TO_SIGNAL:
		if (count == 1 && bytes[0] > 0 && bytes[0] <= 64)
			kill_command(channel, bytes[0]);
		break;
	case TO_SIZE:
		if (count == 4 && channel->used && channel->terminal &&
		    channel->fds[1] >= 0)
			set_terminal_size(channel->fds[1],
					  ((unsigned short *)bytes)[0],
					  ((unsigned short *)bytes)[1]);
		break;
	case TO_KILL:
		kill_command(channel, SIGKILL);
		// There is no credit for what it has written, and nobody to
		// give more.
		for (stream = 1; stream < 3 && channel->used; stream++) {
			close_stream(channel, stream);
			channel->left[stream] = 0;
		}
		break;
	}
}

static void read_port(void)
{
	unsigned int at = 0, count, length;
	long n = CALL(read, agent_port, agent.in + agent.in_count,
		      sizeof(agent.in) - agent.in_count, 0, 0);

	if (n > 0)
		agent.in_count += n;
	else if (n != -EAGAIN && n != -EINTR &&
		 agent.in_count < sizeof(agent.in))
		agent.nobody = 1;
	// Each may be answered.
	while ((count = agent.in_count - at) >= 5 && room() >= 512) {
		unsigned char *frame = agent.in + at;

		length = frame[2] | frame[3] << 8;
		if (frame[0] < TO_HELLO || frame[0] > TO_LAST ||
		    frame[1] >= CHANNELS || length > PAYLOAD) {
			at++;
			continue;
		}
		if (count < length + 5)
			break;
		if (frame[4 + length] != FRAME_END) {
			at++;
			continue;
		}
		obey_frame(frame[0], frame[1], frame + 4, length);
		at += length + 5;
	}
	agent.in_count -= at;
	memcpy(agent.in, agent.in + at, agent.in_count);
}

// --- What is waited for

static unsigned int wish(unsigned int count, int fd, int events,
			 unsigned int owner, int stream)
{
	agent.polled[count].fd = fd;
	agent.polled[count].events = events;
	agent.polled[count].revents = 0;
	agent.owner[count] = owner;
	agent.stream[count] = stream;
	return count + 1;
}

static unsigned int wishes(void)
{
	int port = 0;
	unsigned int count, id;

	if (room() >= 1024)
		port |= POLLIN;
	if (agent_out.count > 0)
		port |= POLLOUT;
	count = wish(0, agent.signals, POLLIN, 0, 0);
	// Its end is there even where nobody asks for it.
	count = wish(count, port && !agent.nobody ? (int)agent_port : -1, port,
		     0, 0);
	for (id = 0; id < CHANNELS; id++) {
		struct channel *channel = &channels[id];
		int stream;

		if (!channel->used)
			continue;
		if (channel->to > channel->from && channel->fds[0] >= 0)
			count = wish(count, channel->fds[0], POLLOUT, id, 0);
		for (stream = 1; stream < 3; stream++)
			if (channel->fds[stream] >= 0 &&
			    channel->credit[stream] > 0 &&
			    (channel->pid > 0 || channel->left[stream] > 0) &&
			    room() >= 2 * FRAME)
				count = wish(count, channel->fds[stream],
					     POLLIN, id, stream);
	}
	return count;
}

// Takes all that have ended; the status of `child` when it is among them.
static int reap(long child)
{
	int status, result = -1;
	unsigned int id;
	long pid;

	while ((pid = CALL(wait4, -1, &status, WNOHANG, 0, 0)) > 0) {
		if (pid == child)
			result = status;
		for (id = 0; id < CHANNELS; id++)
			if (channels[id].used &&
			    channels[id].pid == pid)
				command_ended(&channels[id], status);
	}
	return pid < 0 && pid != -EINTR && result < 0 ? 127 << 8 : result;
}

// Serves the host until `child` ends: its wait status.
static int serve_until(long child, char **env)
{
	unsigned long children = 1ul << (SIGCHLD - 1);
	char info[128];	// struct signalfd_siginfo
	unsigned int count, i;
	int status;

	agent.env = env;
	CALL(rt_sigprocmask, SIG_BLOCK, &children, 0, sizeof(children), 0);
	agent.signals = CALL(signalfd4, -1, &children, sizeof(children),
			     O_NONBLOCK | O_CLOEXEC, 0);
	for (;;) {
		while (CALL(read, agent.signals, info, sizeof(info), 0, 0) > 0)
			;
		status = reap(child);
		if (status >= 0)
			return status;
		for (i = 0; i < CHANNELS; i++) {
			if (room() < 512)
				break;
			settle(i);
			give_credit(i);
		}
		flush();
		count = wishes();
		status = CALL(poll, agent.polled, count,
			      agent.nobody ? NOBODY_MS : -1, 0, 0);
		agent.nobody = 0;
		if (status <= 0)
			continue;
		if (agent.polled[1].revents & POLLOUT)
			flush();
		for (i = 2; i < count; i++) {
			struct channel *channel =
				&channels[agent.owner[i]];

			if (agent.polled[i].revents == 0 || !channel->used)
				continue;
			if (agent.stream[i] == 0)
				write_input(channel);
			else if (room() >= 2 * FRAME)
				read_output(agent.owner[i], agent.stream[i]);
		}
		if (agent.polled[1].revents & (POLLIN | POLLHUP)) {
			read_port();
			for (i = 0; i < CHANNELS; i++)
				if (channels[i].used)
					write_input(&channels[i]);
		}
	}
}
