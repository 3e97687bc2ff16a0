/*
 * frames INTERFACE BYTES [gso]: keeps the queue of an interface full of the
 * same TCP segment; with `gso` it is one for the other end to cut, or, with
 * virtio-net's TSO, to take whole.
 */
#define _GNU_SOURCE /* sendmmsg */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <time.h>

enum { FRAME_MAX = 65535 + 14, ETHERNET = 14, IPV4 = 20, TCP = 20, SEGMENT = 1448 };
enum { HEADERS = ETHERNET + IPV4 + TCP, BATCH = 64 };

static void require(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(1);
}

static int open_interface(const char *name) {
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  require(fd >= 0, "AF_PACKET socket");
  int on = 1;
  /* Without a queueing discipline, send says when the queue is full. */
  require(setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) == 0, "PACKET_QDISC_BYPASS");
  require(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) == 0, "PACKET_VNET_HDR");
  struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                .sll_protocol = htons(ETH_P_IP),
                                .sll_ifindex = (int)if_nametoindex(name)};
  require(address.sll_ifindex, name);
  require(bind(fd, (void *)&address, sizeof address) == 0, name);
  return fd;
}

static void fill(uint8_t *frame, uint32_t bytes) {
  static const uint8_t headers[HEADERS] = {
      0x02, 0x76, 0x69, 0x72, 0x65, 0x01, 0x02, 0x76, 0x69, 0x72, 0x65, 0x6f, 0x08, 0x00,
      0x45, 0,    0,    0,    0,    0,    0x40, 0,    64,   6,    0,    0,    169,  254,
      86,   87,   169,  254,  86,   86,   0x12, 0x34, 0x56, 0x78, 0,    0,    0,    1,
      0,    0,    0,    0,    0x50, 0x10, 0xff, 0xff, 0,    0,    0,    0};
  memcpy(frame, headers, sizeof headers);
  frame[16] = (uint8_t)((bytes - ETHERNET) >> 8);
  frame[17] = (uint8_t)(bytes - ETHERNET);
}

int main(int argc, char **argv) {
  static uint8_t frame[FRAME_MAX];
  if (argc < 3) return 2;
  uint32_t bytes = (uint32_t)atoi(argv[2]);
  if (bytes < HEADERS || bytes > FRAME_MAX) return 2;
  int fd = open_interface(argv[1]);
  fill(frame, bytes);
  struct virtio_net_hdr header = {0};
  if (argc > 3) {
    header = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                     .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                     .hdr_len = HEADERS,
                                     .gso_size = SEGMENT,
                                     .csum_start = ETHERNET + IPV4,
                                     .csum_offset = 16};
  }
  struct iovec parts[2] = {{&header, sizeof header}, {frame, bytes}};
  struct mmsghdr messages[BATCH] = {0};
  for (int i = 0; i < BATCH; i++) {
    messages[i].msg_hdr = (struct msghdr){.msg_iov = parts, .msg_iovlen = 2};
  }
  /* The receiver drains a full queue in more time than this pause. */
  struct timespec pause = {.tv_nsec = 100000};
  prctl(PR_SET_TIMERSLACK, 1);
  for (;;) {
    if (sendmmsg(fd, messages, BATCH, 0) < BATCH) nanosleep(&pause, 0);
  }
}
