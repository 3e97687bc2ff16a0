/* The network half of mode `demo`, and mode `serve`. */
#include "demo.h"

#include "clock.h"
#include "cmdline.h"
#include "inet.h"
#include "machine.h"
#include "modes.h"
#include "serial.h"
#include "x86.h"

enum {
  DEFAULT_PINGS = 20,
  PINGS_MAX = 1000,
  PING_PAYLOAD = 56,
  PING_TIMEOUT_MS = 60000, /* far off: the host may be stopped for seconds */
  DRAIN_TIMEOUT_US = 60000000,
};

static void print_ipv4(uint32_t address) {
  print("%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

static void print_mac(const uint8_t *mac) {
  for (unsigned i = 0; i < MAC_LENGTH; i++) print(i ? ":%02x" : "%02x", mac[i]);
}

static void sort(uint64_t *values, unsigned count) {
  for (unsigned i = 1; i < count; i++) {
    uint64_t value = values[i];
    unsigned j = i;
    for (; j && values[j - 1] > value; j--) values[j] = values[j - 1];
    values[j] = value;
  }
}

static uint64_t microseconds(uint64_t ticks) { return clock_nanoseconds(ticks) / 1000; }

static void ping_peer(struct inet *inet) {
  static uint64_t round_trips[PINGS_MAX];
  unsigned wanted = (unsigned)cmdline_number("pings", DEFAULT_PINGS), replies = 0;
  uint64_t timeout = cmdline_number("ping_ms", PING_TIMEOUT_MS) * 1000;
  if (wanted > PINGS_MAX) wanted = PINGS_MAX;
  for (unsigned i = 1; i <= wanted; i++) {
    uint64_t ticks = inet_ping(inet, (uint16_t)i, PING_PAYLOAD, timeout);
    if (ticks) round_trips[replies++] = ticks;
  }
  sort(round_trips, replies);
  print("net%u: ping ", inet->net->number);
  print_ipv4(inet->peer);
  print(": %u/%u replies (%s)%s", replies, wanted, wait_name(inet->net->receive.wait),
        check(replies == wanted) ? "" : " FAILED");
  if (replies) {
    print(", best %lu us, median %lu us", microseconds(round_trips[0]),
          microseconds(round_trips[replies / 2]));
  }
  print("\n");
}

static void announce(struct inet *inet) {
  inet_send_arp_request(inet, inet->address);
  bool sent = check(net_drain(inet->net, clock_deadline(DRAIN_TIMEOUT_US)));
  print("net%u: gratuitous ARP for ", inet->net->number);
  print_ipv4(inet->address);
  print(" %s (%s)\n", sent ? "sent" : "FAILED", wait_name(inet->net->receive.wait));
}

static void exercise(struct net *net, enum wait_mode wait) {
  struct inet inet;
  if (!network_start(net, wait)) return;
  inet_configure(&inet, net);
  if (!inet.peer) {
    announce(&inet);
  } else if (check(inet_resolve_peer(&inet))) {
    print("net%u: ", net->number);
    print_ipv4(inet.peer);
    print(" is at ");
    print_mac(inet.peer_mac);
    print(" (%s)\n", wait_name(wait));
    ping_peer(&inet);
  } else {
    print("net%u: no ARP reply from ", net->number);
    print_ipv4(inet.peer);
    print(" FAILED\n");
  }
  check_interrupts(&net->receive, "net", net->number);
}

static void describe_network(struct net *net) {
  print("net%u: MAC ", net->number);
  print_mac(net->mac);
  print(", link %s, MTU %u, queues of %u, features 0x%lx\n", net->link_up ? "up" : "down", net->mtu,
        net->receive.size, net->device->features);
}

void demo_network(struct net *net) {
  if (!network_start(net, WAIT_POLLING)) return;
  describe_network(net);
  exercise(net, WAIT_POLLING);
  exercise(net, WAIT_INTERRUPTS);
}

/* Mode `serve=SECONDS`: answer ARP and pings on the first interface. */
void mode_serve(void) {
  struct inet inet;
  if (!network_count || !network_start(networks[0], WAIT_INTERRUPTS)) return;
  inet_configure(&inet, networks[0]);
  print("net0: answering at ");
  print_ipv4(inet.address);
  print("\n");
  uint64_t deadline = clock_deadline(cmdline_number("serve", 0) * 1000000);
  while (!clock_passed(deadline)) {
    net_wait(networks[0], deadline);
    inet_poll(&inet);
  }
  print("net0: answered %u requests\n", inet.requests_answered);
  check_interrupts(&networks[0]->receive, "net", 0);
}
