#include "net.h"

#include "clock.h"
#include "features.h"
#include "x86.h"

/* §5.1.4: struct virtio_net_config. */
enum { CONFIG_MAC = 0, CONFIG_STATUS = 6, CONFIG_MTU = 10 };
enum { STATUS_LINK_UP = 1, DEFAULT_MTU = 1500, SEND_TIMEOUT_US = 60000000 };

_Static_assert(sizeof(struct net_header) == NET_HEADER_SIZE, "struct virtio_net_hdr_v1");

struct net *net_create(struct virtio_device *device, unsigned number) {
  struct net *net = allocate_pages(sizeof *net);
  net->device = device;
  net->number = number;
  net->receive_buffers = allocate_pages(NET_BUFFERS * NET_BUFFER_SIZE);
  net->transmit_buffers = allocate_pages(NET_BUFFERS * NET_BUFFER_SIZE);
  return net;
}

static void read_config(struct net *net) {
  struct virtio_device *device = net->device;
  for (uint32_t i = 0; i < MAC_LENGTH && device->features & NET_F_MAC; i++) {
    net->mac[i] = virtio_config8(device, CONFIG_MAC + i);
  }
  net->link_up =
      !(device->features & NET_F_STATUS) || virtio_config16(device, CONFIG_STATUS) & STATUS_LINK_UP;
  net->mtu = device->features & NET_F_MTU ? virtio_config16(device, CONFIG_MTU) : DEFAULT_MTU;
}

static void post_receive_buffer(struct net *net, uint16_t buffer) {
  struct buffer space = {net->receive_buffers[buffer], NET_BUFFER_SIZE};
  virtqueue_add(&net->receive, &space, 0, 1, buffer);
}

bool net_start(struct net *net, enum wait_mode wait) {
  uint64_t wanted = NET_F_MAC | NET_F_STATUS | NET_F_MTU | NET_F_MRG_RXBUF;
  if (!virtio_negotiate(net->device, wanted | features_from_command_line())) return false;
  read_config(net);
  if (!virtqueue_init(&net->receive, net->device, NET_RECEIVE_QUEUE, NET_BUFFERS, wait) ||
      !virtqueue_init(&net->transmit, net->device, NET_TRANSMIT_QUEUE, NET_BUFFERS,
                      WAIT_POLLING)) {
    return false;
  }
  net->free_transmit_count = 0;
  for (uint16_t i = 0; i < NET_BUFFERS; i++) net->free_transmit[net->free_transmit_count++] = i;
  for (uint16_t i = 0; i < net->receive.size; i++) post_receive_buffer(net, i);
  virtio_driver_ok(net->device);
  virtqueue_kick(&net->receive);
  return true;
}

/* No offload was negotiated, so a frame always fits one buffer. */
bool net_receive(struct net *net, struct net_frame *frame) {
  uint32_t length;
  if (!virtqueue_take(&net->receive, &frame->buffer, &length)) return false;
  frame->data = net->receive_buffers[frame->buffer] + NET_HEADER_SIZE;
  frame->length = length < NET_HEADER_SIZE ? 0 : length - NET_HEADER_SIZE;
  return true;
}

void net_release(struct net *net, const struct net_frame *frame) {
  post_receive_buffer(net, frame->buffer);
  virtqueue_kick(&net->receive);
}

bool net_wait(struct net *net, uint64_t deadline) {
  return virtqueue_wait(&net->receive, deadline);
}

static void reclaim_transmitted(struct net *net) {
  uint16_t buffer;
  uint32_t length;
  while (virtqueue_take(&net->transmit, &buffer, &length)) {
    net->free_transmit[net->free_transmit_count++] = buffer;
  }
}

bool net_send(struct net *net, const void *frame, uint32_t length) {
  reclaim_transmitted(net);
  if (length > NET_BUFFER_SIZE - NET_HEADER_SIZE) return false;
  if (!net->free_transmit_count &&
      !virtqueue_wait(&net->transmit, clock_deadline(SEND_TIMEOUT_US))) {
    return false;
  }
  reclaim_transmitted(net);
  uint16_t slot = net->free_transmit[--net->free_transmit_count];
  uint8_t *buffer = net->transmit_buffers[slot];
  memset(buffer, 0, NET_HEADER_SIZE);
  memcpy(buffer + NET_HEADER_SIZE, frame, length);
  struct buffer packet = {buffer, NET_HEADER_SIZE + length};
  if (!virtqueue_add(&net->transmit, &packet, 1, 0, slot)) return false;
  virtqueue_kick(&net->transmit);
  return true;
}

bool net_drain(struct net *net, uint64_t deadline) {
  while (net->transmit.used_next != net->transmit.avail_next) {
    if (!virtqueue_wait(&net->transmit, deadline)) return false;
    reclaim_transmitted(net);
  }
  return true;
}
