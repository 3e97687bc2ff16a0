// The port of the agent: how it is found, and what goes to the host through it.

#pragma once

#include <fcntl.h>

#include "strings.h"
#include "syscall.h"

#define AGENT_PORT "org.vireo.agent"
#define PORTS "/sys/class/virtio-ports"
#define PORT_TRIES 500		// 10 ms each

#define PAYLOAD 4096
#define FRAME (4 + PAYLOAD + 1)
#define FRAME_END 0xa5

enum {				// to the host
	FROM_HELLO = 1,		// the session's number
	FROM_OUTPUT,		// bytes
	FROM_ERRORS,		// bytes
	FROM_CREDIT,		// of input: 32 bits
	FROM_END,		// how: ENDED_..., and with what: 8 bits each
};

static long agent_port = -1;

static struct {
	unsigned char bytes[32768];	// the most that a port takes at once
	unsigned int count;
} agent_out;

// The name of the port that is `wanted` in /dev, behind `path`'s end.
static int find_port(char *path)
{
	static char entries[2048] __attribute__((aligned(8)));
	long fd = CALL(open, PORTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, 0,
		       0);
	long n, at;

	while ((n = CALL(getdents64, fd, entries, sizeof(entries), 0, 0)) > 0)
		for (at = 0; at < n;) {
			// struct linux_dirent64
			char *entry = entries + at + 19, *end;
			char file[128], name[64];
			long got, name_fd;

			at += *(unsigned short *)(entries + at + 16);
			if (*entry == '.' || length(entry) > 32)
				continue;
			end = append(append(file, PORTS "/"), entry);
			*append(end, "/name") = 0;
			name_fd = CALL(open, file, O_RDONLY | O_CLOEXEC, 0, 0,
				       0);
			got = CALL(read, name_fd, name, sizeof(name) - 1, 0, 0);
			CALL(close, name_fd, 0, 0, 0, 0);
			name[got > 0 ? got : 0] = 0;
			end = after(name, AGENT_PORT);
			if (!end || *end != '\n')
				continue;
			*append(append(path, "/dev/"), entry) = 0;
			CALL(close, fd, 0, 0, 0, 0);
			return 1;
		}
	CALL(close, fd, 0, 0, 0, 0);
	return 0;
}

// The host says that there is a port; its driver may not have heard of it yet.
static void open_agent(void)
{
	struct timespec while_ = { 0, 10000000 };
	char path[64];
	int tries;

	for (tries = 0; tries < PORT_TRIES; tries++) {
		if (find_port(path)) {
			agent_port = CALL(open, path,
					  O_RDWR | O_NONBLOCK | O_CLOEXEC, 0,
					  0, 0);
			return;
		}
		CALL(nanosleep, &while_, 0, 0, 0, 0);
	}
}

static unsigned int room(void)
{
	return sizeof(agent_out.bytes) - agent_out.count;
}

// There is room: who calls has looked.
static void put_frame(int type, unsigned int channel, const void *bytes,
		 unsigned int count)
{
	unsigned char *to = agent_out.bytes + agent_out.count;

	to[0] = type;
	to[1] = channel;
	to[2] = count & 0xff;
	to[3] = count >> 8;
	memcpy(to + 4, bytes, count);
	to[4 + count] = FRAME_END;
	agent_out.count += count + 5;
}

static void flush(void)
{
	long n;

	if (agent_out.count == 0)
		return;
	n = CALL(write, agent_port, agent_out.bytes, agent_out.count, 0, 0);
	if (n <= 0)
		return;
	agent_out.count -= n;
	memcpy(agent_out.bytes, agent_out.bytes + n, agent_out.count);
}
