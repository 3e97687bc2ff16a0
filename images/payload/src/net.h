/* virtio-net driver (virtio 1.2 §5.1): one receive and one transmit queue. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "virtqueue.h"

enum {
  MAC_LENGTH = 6,
  NET_BUFFERS = 128,       /* per direction */
  NET_BUFFER_SIZE = 2048,  /* header and one Ethernet frame */
  NET_RECEIVE_QUEUE = 0,
  NET_TRANSMIT_QUEUE = 1,
};

#define NET_F_MTU (1ull << 3)
#define NET_F_MAC (1ull << 5)
#define NET_F_MRG_RXBUF (1ull << 15)
#define NET_F_STATUS (1ull << 16)

/* §5.1.6: struct virtio_net_hdr_v1. */
struct net_header {
  uint8_t flags, gso_type;
  uint16_t header_length, gso_size, checksum_start, checksum_offset, buffer_count;
};
enum { NET_HEADER_SIZE = 12 };

struct net_frame {
  uint8_t *data;
  uint32_t length;
  uint16_t buffer; /* to give back */
};

struct net {
  struct virtqueue receive, transmit;
  struct virtio_device *device;
  uint8_t (*receive_buffers)[NET_BUFFER_SIZE], (*transmit_buffers)[NET_BUFFER_SIZE];
  uint16_t free_transmit[NET_BUFFERS], free_transmit_count;
  uint8_t mac[MAC_LENGTH];
  uint16_t mtu;
  bool link_up;
  unsigned number;
};

struct net *net_create(struct virtio_device *device, unsigned number);

/* Reset and initialise, from any state; fills the receive queue. */
bool net_start(struct net *net, enum wait_mode wait);

/* Take a received frame, if there is one; give it back with net_release. */
bool net_receive(struct net *net, struct net_frame *frame);
void net_release(struct net *net, const struct net_frame *frame);
bool net_wait(struct net *net, uint64_t deadline);

/* Copy a frame into the transmit queue and notify. False when it stays full. */
bool net_send(struct net *net, const void *frame, uint32_t length);

/* Wait until the device has taken everything that was sent. */
bool net_drain(struct net *net, uint64_t deadline);
