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

void inet_send_arp_request(struct inet *inet, uint32_t target);

/* An ICMP echo request to the (known) peer, with this many bytes of payload. */
void inet_send_echo(struct inet *inet, uint16_t sequence, uint32_t payload);

/*
 * Handle every frame that has arrived: learn the peer from ARP replies, note
 * echo replies whose checksums hold, answer ARP and echo requests for us.
 */
void inet_poll(struct inet *inet);
