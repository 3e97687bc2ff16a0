// For tests: init's agent as a program of its own, over the socket whose
// descriptor is its argument, until it is killed.

#include "../agent.h"
#include <linux/prctl.h>

void start(long *stack)
{
	static char *env[] = { "PATH=/bin:/usr/bin", "HOME=/", "OWN=1", 0 };
	unsigned long pipe = 1ul << (SIGPIPE - 1);
	char **arguments = (char **)stack + 1;
	long child;

	if (*stack < 2)
		quit(2);
	// The first process of a guest has no use for it, either.
	CALL(rt_sigprocmask, SIG_BLOCK, &pipe, 0, sizeof(pipe), 0);
	agent_port = number(arguments[1]);
	CALL(fcntl, agent_port, F_SETFL, O_RDWR | O_NONBLOCK, 0, 0);
	CALL(fcntl, agent_port, F_SETFD, FD_CLOEXEC, 0, 0);
	child = CALL(fork, 0, 0, 0, 0, 0);
	if (child == 0)
		for (;;) {
			CALL(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
			// The agent may have been killed just before.
			if (CALL(getppid, 0, 0, 0, 0, 0) == 1)
				quit(0);
			CALL(close, agent_port, 0, 0, 0, 0);
			CALL(pause, 0, 0, 0, 0, 0);
		}
	serve_until(child, env);
	quit(0);
}

asm(".globl _start\n"
    "_start:\n"
    "	mov %rsp, %rdi\n"
    "	and $-16, %rsp\n"
    "	call start\n");
