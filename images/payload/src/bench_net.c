/* Network benchmarks. */
#include "bench.h"

#include "clock.h"
#include "features.h"
#include "inet.h"
#include "serial.h"
#include "x86.h"

/* §5.1.3 */
#define NET_F_CSUM (1ull << 0)
#define NET_F_GUEST_CSUM (1ull << 1)
#define NET_F_GUEST_TSO4 (1ull << 7)
#define NET_F_HOST_TSO4 (1ull << 11)

/* §5.1.6 */
enum { NET_HDR_NEEDS_CSUM = 1, NET_HDR_GSO_TCPV4 = 1 };

enum {
  RECEIVE_BUFFER_SIZE = 4096,
  ETHERNET_HEADER = 14,
  IPV4_HEADER = 20,
  TCP_HEADER = 20,
  ALL_HEADERS = ETHERNET_HEADER + IPV4_HEADER + TCP_HEADER,
  TCP_CHECKSUM_OFFSET = 16,
  SEGMENT_SIZE = 1448,
  FRAME_MINIMUM = ETHERNET_HEADER,
  FRAME_MAXIMUM = 65535 + ETHERNET_HEADER,
  ORDINARY_FRAME_MAXIMUM = 1514,
  COMPLETION_TIMEOUT_US = 60000000,
  WARM_UP_FRAMES = 64, /* more than a host says of its own accord */
  WARM_UP_TIMEOUT_US = 60000000,
  ECHO_TIMEOUT_US = 60000000,
};

static bool start(struct net *net, const struct bench_options *options) {
  uint64_t wanted = NET_F_MAC | NET_F_STATUS | NET_F_MRG_RXBUF | features_from_command_line();
  if (options->offload) wanted |= NET_F_CSUM | NET_F_HOST_TSO4 | NET_F_GUEST_CSUM | NET_F_GUEST_TSO4;
  return virtio_negotiate(net->device, wanted) &&
         virtqueue_init(&net->receive, net->device, NET_RECEIVE_QUEUE, QUEUE_SIZE_MAX,
                        options->wait) &&
         virtqueue_init(&net->transmit, net->device, NET_TRANSMIT_QUEUE, QUEUE_SIZE_MAX,
                        options->wait);
}

/* The smallest valid TCP segment header, for a stranger's MAC: the host drops it early. */
static void fill_tcp_headers(uint8_t *frame, uint32_t length) {
  static const uint8_t headers[ALL_HEADERS] = {
      0x02, 0x76, 0x69, 0x72, 0x65, 0x6f, 0x02, 0x76, 0x69, 0x72, 0x65, 0x01, 0x08, 0x00,
      0x45, 0,    0,    0,    0,    0,    0x40, 0,    64,   6,    0,    0,    169,  254,
      86,   86,   169,  254,  86,   87,   0x12, 0x34, 0x56, 0x78, 0,    0,    0,    1,
      0,    0,    0,    0,    0x50, 0x10, 0xff, 0xff, 0,    0,    0,    0};
  memcpy(frame, headers, length < sizeof headers ? length : sizeof headers);
  if (length < sizeof headers) return;
  uint32_t ip_length = length - ETHERNET_HEADER;
  frame[ETHERNET_HEADER + 2] = (uint8_t)(ip_length >> 8);
  frame[ETHERNET_HEADER + 3] = (uint8_t)ip_length;
}

static void prepare_frame(uint8_t *buffer, const struct bench_options *options) {
  struct net_header *header = (void *)buffer;
  memset(buffer, 0, NET_HEADER_SIZE);
  fill_tcp_headers(buffer + NET_HEADER_SIZE, options->frame_size);
  if (!options->offload || options->frame_size <= ALL_HEADERS) return;
  header->flags = NET_HDR_NEEDS_CSUM;
  header->checksum_start = ETHERNET_HEADER + IPV4_HEADER;
  header->checksum_offset = TCP_CHECKSUM_OFFSET;
  if (options->frame_size <= ORDINARY_FRAME_MAXIMUM) return;
  header->gso_type = NET_HDR_GSO_TCPV4;
  header->header_length = ALL_HEADERS;
  header->gso_size = SEGMENT_SIZE;
}

static bool valid_transmit(const struct bench_options *options) {
  return options->device < network_count && options->depth &&
         options->depth <= QUEUE_SIZE_MAX && options->frame_size >= FRAME_MINIMUM &&
         options->frame_size <=
             (uint32_t)(options->offload ? FRAME_MAXIMUM : ORDINARY_FRAME_MAXIMUM);
}

static bool send(struct net *net, uint8_t *frames, uint32_t stride, uint16_t slot,
                 const struct bench_options *options) {
  struct buffer packet = {frames + (uint64_t)slot * stride, NET_HEADER_SIZE + options->frame_size};
  return virtqueue_add(&net->transmit, &packet, 1, 0, slot);
}

/* `qd` frames in flight; the same frames go out again and again, uncopied. */
static bool transmit(const struct bench_options *options, struct bench_result *result) {
  static uint8_t *frames;
  if (!valid_transmit(options)) return false;
  struct net *net = networks[options->device];
  if (!start(net, options)) return false;
  uint32_t stride = (NET_HEADER_SIZE + options->frame_size + 63) & ~63u;
  if (!frames) frames = allocate_pages((uint64_t)stride * options->depth);
  for (uint32_t i = 0; i < options->depth; i++) prepare_frame(frames + i * stride, options);
  virtio_driver_ok(net->device);
  bench_start(result);
  uint64_t deadline = clock_deadline(options->microseconds);
  for (uint16_t slot = 0; slot < options->depth; slot++) {
    if (!send(net, frames, stride, slot, options)) return false;
  }
  virtqueue_kick(&net->transmit);
  while (!clock_passed(deadline)) {
    uint16_t slot;
    uint32_t length;
    if (!virtqueue_wait(&net->transmit, clock_deadline(COMPLETION_TIMEOUT_US))) return false;
    while (virtqueue_take(&net->transmit, &slot, &length)) {
      result->operations++;
      result->bytes += options->frame_size;
      if (!send(net, frames, stride, slot, options)) return false;
    }
    virtqueue_kick(&net->transmit);
  }
  bench_stop(result);
  virtio_reset(net->device);
  return true;
}

static bool post(struct net *net, uint8_t *buffers, uint16_t slot) {
  struct buffer space = {buffers + slot * RECEIVE_BUFFER_SIZE, RECEIVE_BUFFER_SIZE};
  return virtqueue_add(&net->receive, &space, 0, 1, slot);
}

/* Take what has arrived; a merged frame (§5.1.6.3.1) counts once. */
static void take_frames(struct net *net, uint8_t *buffers, struct bench_result *result,
                        uint16_t *rest_of_frame) {
  uint16_t slot;
  uint32_t length;
  while (virtqueue_take(&net->receive, &slot, &length)) {
    result->bytes += length;
    if (*rest_of_frame) {
      (*rest_of_frame)--;
    } else {
      const struct net_header *header = (const void *)(buffers + slot * RECEIVE_BUFFER_SIZE);
      if (header->buffer_count > 1) *rest_of_frame = header->buffer_count - 1;
      result->operations++;
      result->bytes -= NET_HEADER_SIZE;
    }
    post(net, buffers, slot);
  }
  virtqueue_kick(&net->receive);
}

static bool warm_up(struct net *net, uint8_t *buffers, struct bench_result *result,
                    uint16_t *rest_of_frame) {
  uint64_t deadline = clock_deadline(WARM_UP_TIMEOUT_US);
  bench_start(result);
  while (result->operations < WARM_UP_FRAMES) {
    if (!virtqueue_wait(&net->receive, deadline)) return false;
    take_frames(net, buffers, result, rest_of_frame);
  }
  return true;
}

/* Time starts when the sender on the host has come into its stride. */
static bool receive(const struct bench_options *options, struct bench_result *result) {
  static uint8_t *buffers;
  uint16_t rest_of_frame = 0;
  if (options->device >= network_count) return false;
  struct net *net = networks[options->device];
  if (!buffers) buffers = allocate_pages(QUEUE_SIZE_MAX * RECEIVE_BUFFER_SIZE);
  if (!start(net, options)) return false;
  for (uint16_t slot = 0; slot < net->receive.size; slot++) post(net, buffers, slot);
  virtio_driver_ok(net->device);
  virtqueue_kick(&net->receive);
  print("bench: ready name=net-rx\n");
  if (!warm_up(net, buffers, result, &rest_of_frame)) return false;
  bench_start(result);
  uint64_t deadline = clock_deadline(options->microseconds);
  while (!clock_passed(deadline)) {
    virtqueue_wait(&net->receive, deadline);
    take_frames(net, buffers, result, &rest_of_frame);
  }
  bench_stop(result);
  virtio_reset(net->device);
  return true;
}

/* Request and response: ICMP echo with the peer, one at a time. */
static bool request_response(const struct bench_options *options, struct bench_result *result) {
  struct inet inet;
  uint32_t overhead = ETHERNET_HEADER + IPV4_HEADER + 8;
  if (options->device >= network_count) return false;
  struct net *net = networks[options->device];
  if (!network_start(net, options->wait)) return false;
  inet_configure(&inet, net);
  if (!inet.peer || !inet_resolve_peer(&inet)) return false;
  bench_start(result);
  uint64_t deadline = clock_deadline(options->microseconds);
  for (uint16_t sequence = 1; !clock_passed(deadline); sequence += sequence == UINT16_MAX ? 2 : 1) {
    uint32_t payload = options->frame_size > overhead ? options->frame_size - overhead : 0;
    uint64_t ticks = inet_ping(&inet, sequence, payload, ECHO_TIMEOUT_US);
    if (!ticks) return false;
    bench_record(result, ticks);
    result->operations++;
    result->bytes += options->frame_size;
  }
  bench_stop(result);
  return true;
}

const struct benchmark net_benchmarks[] = {
    {"net-tx", transmit}, {"net-rx", receive}, {"net-rr", request_response}, {0, 0}};
