// Streams between this guest and its host (vsock(7)), for the shell:
//
//   vsock connect PORT           joins standard input and output to PORT of the
//                                host, until both directions have ended
//   vsock listen PORT COMMAND..  runs the command for each connection of the
//                                host to PORT, its standard input and output
//
// A freestanding program for the same reason as init.c.

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "syscall.h"

// gcc makes calls to it of initialisers.
void *memset(void *to, int byte, unsigned long n)
{
	char *p = to;

	while (n--)
		*p++ = byte;
	return to;
}

static void say(const char *text)
{
	CALL(write, 2, text, length(text), 0, 0);
}

// Ends with the name of what failed and the number of its error.
static void fail(const char *what, long result)
{
	char digits[8], *first = digits + sizeof(digits);
	unsigned long error = -result;

	*--first = 0;
	*--first = '\n';
	do
		*--first = '0' + error % 10;
	while (error /= 10);
	say("vsock: ");
	say(what);
	say(": error ");
	say(first);
	quit(1);
}

static int is(const char *s, const char *word)
{
	while (*s && *s == *word)
		s++, word++;
	return *s == *word;
}

static unsigned int port_of(const char *s)
{
	unsigned int n = 0;

	if (!*s)
		fail("port", -EINVAL);
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			fail("port", -EINVAL);
		n = n * 10 + (*s - '0');
	}
	return n;
}

static long socket_of_kind(void)
{
	long fd = CALL(socket, AF_VSOCK, SOCK_STREAM, 0, 0, 0);

	if (fd < 0)
		fail("socket", fd);
	return fd;
}

static void write_all(int fd, const char *bytes, long count)
{
	while (count > 0) {
		long n = CALL(write, fd, bytes, count, 0, 0);

		if (n == -EINTR)
			continue;
		if (n < 0)
			fail("write", n);
		bytes += n;
		count -= n;
	}
}

// Moves what `from` has to `to`; 0 at its end.
static int move(int from, int to)
{
	static char buffer[65536];
	long n = CALL(read, from, buffer, sizeof(buffer), 0, 0);

	if (n == -EINTR || n == -EAGAIN)
		return 1;
	// Linux 6.1 forgets that the peer has closed when it is told to shut
	// down after that.
	if (n == -ENOTCONN)
		return 0;
	if (n < 0)
		fail("read", n);
	write_all(to, buffer, n);
	return n > 0;
}

static void join(int fd)
{
	struct pollfd wait[2] = { { 0, POLLIN, 0 }, { fd, POLLIN, 0 } };

	while (wait[1].fd >= 0) {
		long n = CALL(poll, wait, 2, -1, 0, 0);

		if (n < 0 && n != -EINTR)
			fail("poll", n);
		if (wait[0].fd >= 0 && wait[0].revents && !move(0, fd)) {
			CALL(shutdown, fd, SHUT_WR, 0, 0, 0);
			wait[0].fd = -1;
		}
		if (wait[1].revents && !move(fd, 1))
			wait[1].fd = -1;
	}
}

static void connect_to(unsigned int port)
{
	struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_HOST,
		.svm_port = port,
	};
	long fd = socket_of_kind();
	long result = CALL(connect, fd, &address, sizeof(address), 0, 0);

	if (result < 0)
		fail("connect", result);
	join(fd);
}

static void run(long fd, char **command, char **env)
{
	static const char *const folders[] = { "", "/bin/", "/usr/bin/",
					       "/sbin/", "/usr/sbin/" };
	char path[256];
	unsigned int i;

	CALL(dup2, fd, 0, 0, 0, 0);
	CALL(dup2, fd, 1, 0, 0, 0);
	CALL(close, fd, 0, 0, 0, 0);
	for (i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		unsigned long n = 0, k;

		if (length(folders[i]) + length(*command) >= sizeof(path))
			break;
		for (k = 0; folders[i][k]; k++)
			path[n++] = folders[i][k];
		for (k = 0; (*command)[k]; k++)
			path[n++] = (*command)[k];
		path[n] = 0;
		CALL(execve, path, command, env, 0, 0);
	}
	fail(*command, -ENOENT);
}

static void listen_on(unsigned int port, char **command, char **env)
{
	struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_ANY,
		.svm_port = port,
	};
	long listener = socket_of_kind();
	long result = CALL(bind, listener, &address, sizeof(address), 0, 0);

	if (result < 0)
		fail("bind", result);
	CALL(listen, listener, 128, 0, 0, 0);
	for (;;) {
		long fd = CALL(accept4, listener, 0, 0, 0, 0);

		if (fd < 0)
			fail("accept", fd);
		if (CALL(fork, 0, 0, 0, 0, 0) == 0) {
			CALL(close, listener, 0, 0, 0, 0);
			run(fd, command, env);
		}
		CALL(close, fd, 0, 0, 0, 0);
		while (CALL(wait4, -1, 0, WNOHANG, 0, 0) > 0)
			;
	}
}

void start(long *stack)
{
	long count = *stack;
	char **words = (char **)stack + 1, **env = words + count + 1;

	if (count == 3 && is(words[1], "connect")) {
		connect_to(port_of(words[2]));
	} else if (count > 3 && is(words[1], "listen")) {
		listen_on(port_of(words[2]), words + 3, env);
	} else {
		say("usage: vsock connect PORT\n"
		    "       vsock listen PORT COMMAND...\n");
		quit(2);
	}
	quit(0);
}

asm(".globl _start\n"
    "_start:\n"
    "	mov %rsp, %rdi\n"
    "	and $-16, %rsp\n"
    "	call start\n");
