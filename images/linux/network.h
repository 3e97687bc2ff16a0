// Gives a network interface its address, as Linux does for its word `ip=`:
//
//   ip=CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTO:DNS:DNS
//   ip=dhcp (or on, any, both, bootp, rarp)
//
// The kernel does that before it starts init, so a machine that was saved in
// init goes on with the address of its orders only if init does it.

#pragma once

#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "strings.h"
#include "syscall.h"

static unsigned int address(const char *s)
{
	unsigned int value = 0, i;

	for (i = 0; i < 4; i++) {
		value |= (number(s) & 0xff) << (8 * i);
		while (*s >= '0' && *s <= '9')
			s++;
		if (*s == '.')
			s++;
	}
	return value;
}

static struct sockaddr_in socket_address(unsigned int value)
{
	struct sockaddr_in result = { .sin_family = AF_INET };

	result.sin_addr.s_addr = value;
	return result;
}

// The mask of the address's class, for who gives none.
static unsigned int class_mask(unsigned int value)
{
	unsigned int first = value & 0xff;

	return first < 128 ? 0xff : first < 192 ? 0xffff : 0xffffff;
}

static void set_address(long fd, const char *device, unsigned long request,
			unsigned int value)
{
	struct ifreq interface = { 0 };
	struct sockaddr_in to = socket_address(value);

	append(interface.ifr_name, device);
	memcpy(&interface.ifr_addr, &to, sizeof(to));
	CALL(ioctl, fd, request, &interface, 0, 0);
}

static void interface_up(const char *device)
{
	struct ifreq interface = { .ifr_flags = IFF_UP | IFF_RUNNING };
	long fd = CALL(socket, AF_INET, SOCK_DGRAM, 0, 0, 0);

	append(interface.ifr_name, device);
	CALL(ioctl, fd, SIOCSIFFLAGS, &interface, 0, 0);
	CALL(close, fd, 0, 0, 0, 0);
}

static void name_servers(char *const servers[], int count)
{
	long fd;
	int i;

	// A link to what the kernel knows, which is nothing.
	CALL(unlink, "/run/resolv.conf", 0, 0, 0, 0);
	fd = CALL(open, "/run/resolv.conf", O_CREAT | O_WRONLY, 0644, 0, 0);
	for (i = 0; i < count; i++) {
		char line[64], *end = append(line, "nameserver ");

		if (!*servers[i] || length(servers[i]) > 40)
			continue;
		end = append(append(end, servers[i]), "\n");
		CALL(write, fd, line, end - line, 0, 0);
	}
	CALL(close, fd, 0, 0, 0, 0);
}

static void default_route(long fd, unsigned int gateway)
{
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	struct sockaddr_in any = socket_address(0);
	struct sockaddr_in through = socket_address(gateway);

	memcpy(&route.rt_dst, &any, sizeof(any));
	memcpy(&route.rt_genmask, &any, sizeof(any));
	memcpy(&route.rt_gateway, &through, sizeof(through));
	CALL(ioctl, fd, SIOCADDRT, &route, 0, 0);
}

// Tells the neighbours of the address at once: they may know it of a twin.
static void announce(void)
{
	long fd = CALL(open, "/proc/sys/net/ipv4/conf/all/arp_notify", O_WRONLY,
		       0, 0, 0);

	CALL(write, fd, "1", 1, 0, 0);
	CALL(close, fd, 0, 0, 0, 0);
}

static void dhcp(const char *device, char **env)
{
	char *arguments[] = { "udhcpc", "-i", (char *)device, "-n", "-q", "-f",
			      "-S",	"-s", "/etc/udhcpc/default.script", 0 };
	int status;
	long child;

	interface_up(device);
	child = CALL(fork, 0, 0, 0, 0, 0);
	if (child == 0) {
		long null = CALL(open, "/dev/null", O_RDWR, 0, 0, 0);

		CALL(dup2, null, 0, 0, 0, 0);
		CALL(dup2, null, 1, 0, 0, 0);
		CALL(dup2, null, 2, 0, 0, 0);
		CALL(execve, "/sbin/udhcpc", arguments, env, 0, 0);
		quit(127);
	}
	CALL(wait4, child, &status, 0, 0, 0);
}

// Whether the words ask for an address from the network.
static int is_automatic(char *const words[])
{
	const char *word = *words[6] ? words[6] : words[0];

	return *words[0] == 0 || after((char *)word, "dhcp") ||
	       after((char *)word, "on") || after((char *)word, "any") ||
	       after((char *)word, "both") || after((char *)word, "bootp") ||
	       after((char *)word, "rarp");
}

static void configure_network(char *text, char **env)
{
	char *words[9], *device;
	long fd;
	int i;

	if (after(text, "off") || after(text, "none"))
		return;
	for (i = 0; i < 9; i++) {
		words[i] = text;
		text = split(text, ':');
	}
	device = *words[5] && length(words[5]) < IFNAMSIZ ? words[5] : "eth0";
	announce();
	if (is_automatic(words))
		return dhcp(device, env);
	fd = CALL(socket, AF_INET, SOCK_DGRAM, 0, 0, 0);
	set_address(fd, device, SIOCSIFADDR, address(words[0]));
	set_address(fd, device, SIOCSIFNETMASK,
		    *words[3] ? address(words[3]) :
				class_mask(address(words[0])));
	interface_up(device);
	if (*words[2])
		default_route(fd, address(words[2]));
	if (*words[4])
		CALL(sethostname, words[4], length(words[4]), 0, 0, 0);
	name_servers(words + 7, 2);
	CALL(close, fd, 0, 0, 0, 0);
}
