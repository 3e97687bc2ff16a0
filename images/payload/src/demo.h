/* The two halves of mode `demo`. */
#pragma once

#include "devices.h"

/* Identify, read, and (unless read-only) write, flush and verify. */
void demo_disk(struct blk *blk);

/* ARP and ping the peer, or send one gratuitous ARP frame without one. */
void demo_network(struct net *net);
