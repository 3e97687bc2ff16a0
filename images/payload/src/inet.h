/* Just enough Internet: Ethernet, ARP and ICMP echo over IPv4. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net.h"

/* One end on a link. Addresses are in host byte order. */
struct inet {
  struct net *net;
  uint32_t address, peer;
  uint8_t peer_mac[MAC_LENGTH];
  bool peer_known;
  uint16_t echo_reply;     /* sequence of the last good echo reply; 0 = none */
  uint32_t requests_answered;
};

/*
 * Addresses from the command line: the n-th `ip=` and `peer=` belong to netn.
 * With a peer only, we are its neighbour; without either, we are link-local.
 */
void inet_configure(struct inet *inet, struct net *net);

/* Ask for the peer's MAC until it answers or the patience ends. */
bool inet_resolve_peer(struct inet *inet);

/* One echo round trip with the resolved peer in TSC ticks; 0 without a reply. */
uint64_t inet_ping(struct inet *inet, uint16_t sequence, uint32_t payload, uint64_t timeout_us);

void inet_send_arp_request(struct inet *inet, uint32_t target);

/*
 * Handle every frame that has arrived: learn the peer from ARP replies, note
 * echo replies whose checksums hold, answer ARP and echo requests for us.
 */
void inet_poll(struct inet *inet);
