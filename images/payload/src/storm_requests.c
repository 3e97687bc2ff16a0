/* Requests without bookkeeping: no index that a device could bend is read back. */
#include "clock.h"
#include "cmdline.h"
#include "random.h"
#include "storm.h"
#include "x86.h"

enum { CHAIN = 3, FRAME_HEAD = 14, PATIENCE_US = 500, ARP_LENGTH = 42 };

struct storm_counts storm_counts[2];

uint8_t *storm_header(const struct victim *victim, unsigned group) {
  return victim->arena + group * STORM_HEADER_STRIDE;
}

static uint8_t *data_of(const struct victim *victim, unsigned group) {
  return victim->arena + STORM_DATA + group * STORM_DATA_SIZE;
}

void storm_prepare(struct victim *victim, struct blk *blk, struct net *net) {
  *victim = (struct victim){.device = blk ? blk->device : net->device,
                            .blk = blk,
                            .net = net,
                            .queue = blk ? &blk->queue : &net->transmit,
                            .arena = allocate_pages(STORM_ARENA)};
}

bool storm_start(struct victim *victim, unsigned cpu) {
  storm_counts[cpu].resets++;
  victim->published = victim->packed_next = 0;
  victim->packed_wrap = true;
  if (victim->blk) return blk_start(victim->blk, WAIT_POLLING);
  return net_start(victim->net, WAIT_POLLING);
}

void storm_keep_running(struct victim *victim, unsigned cpu) {
  uint32_t status = virtio_read(victim->device, VIRTIO_MMIO_STATUS);
  storm_counts[cpu].accesses++;
  bool running = status & VIRTIO_STATUS_DRIVER_OK;
  if (!running || status & (VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FAILED)) {
    storm_start(victim, cpu);
  }
}

/* An ARP question to the peer: its answer keeps the receive queue busy. */
static void write_frame(const struct victim *victim, uint8_t *frame) {
  uint32_t address = swap32(parse_ipv4(cmdline_value("ip", 0) ?: "0.0.0.0"));
  uint32_t peer = swap32(parse_ipv4(cmdline_value("peer", 0) ?: "0.0.0.0"));
  static const uint8_t kind[] = {8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
  memset(frame, 0xff, MAC_LENGTH);
  memcpy(frame + 6, victim->net->mac, MAC_LENGTH);
  memcpy(frame + 12, kind, sizeof kind);
  memcpy(frame + 22, victim->net->mac, MAC_LENGTH);
  memcpy(frame + 28, &address, 4);
  memset(frame + 32, 0, MAC_LENGTH);
  memcpy(frame + 38, &peer, 4);
}

/* Device-readable buffers first; returns how many of them there are. */
static unsigned fill_chain(const struct victim *victim, unsigned group, struct buffer *chain) {
  uint8_t *header = storm_header(victim, group), *data = data_of(victim, group);
  if (victim->net) {
    memset(header, 0, NET_HEADER_SIZE);
    write_frame(victim, data);
    chain[0] = (struct buffer){header, NET_HEADER_SIZE};
    chain[1] = (struct buffer){data, FRAME_HEAD};
    chain[2] = (struct buffer){data + FRAME_HEAD, ARP_LENGTH - FRAME_HEAD};
    return CHAIN;
  }
  static const uint32_t types[] = {BLK_IN, BLK_OUT, BLK_IN, BLK_OUT, BLK_GET_ID, BLK_FLUSH};
  struct blk_request *request = (struct blk_request *)header;
  uint32_t type = types[random_next() % (sizeof types / sizeof *types)];
  *request = (struct blk_request){.type = type, .sector = group * 8, .status = BLK_PENDING};
  chain[0] = (struct buffer){request, BLK_HEADER_SIZE};
  chain[1] = (struct buffer){data, STORM_DATA_SIZE};
  chain[2] = (struct buffer){&request->status, 1};
  return type == BLK_IN || type == BLK_GET_ID ? 1 : 2;
}

static void describe(struct virtq_desc *table, const struct buffer *chain, unsigned readable,
                     uint16_t first) {
  for (unsigned i = 0; i < CHAIN; i++) {
    uint16_t flags = i >= readable ? VIRTQ_DESC_WRITE : 0;
    if (i + 1 < CHAIN) flags |= VIRTQ_DESC_NEXT;
    table[i] = (struct virtq_desc){(uintptr_t)chain[i].data, chain[i].length, flags,
                                   (uint16_t)(first + i + 1)};
  }
}

static void submit_split(struct victim *victim, unsigned group, bool indirect) {
  struct virtqueue *queue = victim->queue;
  struct buffer chain[CHAIN];
  unsigned readable = fill_chain(victim, group, chain);
  uint16_t head = (uint16_t)(CHAIN * group);
  if (indirect) {
    struct virtq_desc *table = queue->indirect[group];
    describe(table, chain, readable, 0);
    queue->desc[head] = (struct virtq_desc){(uintptr_t)table, CHAIN * sizeof *table,
                                            VIRTQ_DESC_INDIRECT, 0};
  } else {
    describe(&queue->desc[head], chain, readable, head);
  }
  queue->avail.ring[victim->published % QUEUE_SIZE_MAX % queue->size] = head;
  victim->published++;
  compiler_barrier();
  queue->avail.idx = victim->published;
}

/* §2.8.1: AVAIL is the wrap counter, USED its inverse. */
static void put_packed(struct victim *victim, unsigned ahead, struct pvirtq_desc desc) {
  uint16_t size = victim->queue->size, slot = (uint16_t)(victim->packed_next + ahead);
  bool wrap = victim->packed_wrap;
  if (slot >= size) slot = (uint16_t)(slot - size), wrap = !wrap;
  volatile struct pvirtq_desc *at = &victim->queue->packed.ring[slot % QUEUE_SIZE_MAX];
  at->address = desc.address;
  at->length = desc.length;
  at->id = desc.id;
  compiler_barrier();
  at->flags = desc.flags | (wrap ? PVIRTQ_DESC_AVAIL : PVIRTQ_DESC_USED);
}

static void submit_packed(struct victim *victim, unsigned group, bool indirect) {
  struct virtqueue *queue = victim->queue;
  struct buffer chain[CHAIN];
  unsigned readable = fill_chain(victim, group, chain), slots = indirect ? 1 : CHAIN;
  struct pvirtq_desc *table = (struct pvirtq_desc *)queue->indirect[group];
  for (unsigned i = CHAIN; i-- > 0;) { /* the first one last: it publishes the others */
    uint16_t flags = i >= readable ? VIRTQ_DESC_WRITE : 0;
    if (!indirect && i + 1 < CHAIN) flags |= VIRTQ_DESC_NEXT;
    struct pvirtq_desc desc = {(uintptr_t)chain[i].data, chain[i].length, (uint16_t)group, flags};
    if (indirect) {
      table[i] = desc;
    } else {
      put_packed(victim, i, desc);
    }
  }
  if (indirect) {
    put_packed(victim, 0, (struct pvirtq_desc){(uintptr_t)table, CHAIN * sizeof *table,
                                               (uint16_t)group, VIRTQ_DESC_INDIRECT});
  }
  victim->packed_next = (uint16_t)(victim->packed_next + slots);
  if (victim->packed_next < queue->size) return;
  victim->packed_next = (uint16_t)(victim->packed_next - queue->size);
  victim->packed_wrap = !victim->packed_wrap;
}

void storm_submit(struct victim *victim, unsigned count) {
  if (!victim->queue->size) return; /* never started */
  for (unsigned i = 0; i < count; i++) {
    unsigned group = victim->submitted++ % STORM_GROUPS;
    bool indirect = victim->device->features & VIRTIO_F_INDIRECT_DESC && random_next() & 1;
    if (victim->device->features & VIRTIO_F_RING_PACKED) {
      submit_packed(victim, group, indirect);
    } else {
      submit_split(victim, group, indirect);
    }
    storm_counts[0].requests++;
  }
  if (!victim->net) return;
  struct virtqueue *receive = &victim->net->receive; /* the same buffers again */
  receive->avail.idx = (uint16_t)(receive->used.idx + receive->size);
}

void storm_ring(const struct victim *victim, unsigned cpu) {
  virtio_write(victim->device, VIRTIO_MMIO_QUEUE_NOTIFY, victim->net ? NET_TRANSMIT_QUEUE : 0);
  if (victim->net) virtio_write(victim->device, VIRTIO_MMIO_QUEUE_NOTIFY, NET_RECEIVE_QUEUE);
  storm_counts[cpu].doorbells += victim->net ? 2 : 1;
}

static bool is_done(const struct victim *victim) {
  const struct virtqueue *queue = victim->queue;
  if (!(victim->device->features & VIRTIO_F_RING_PACKED)) {
    return queue->used.idx == victim->published;
  }
  unsigned last = (victim->packed_next ? victim->packed_next : QUEUE_SIZE_MAX) - 1u;
  uint16_t flags = queue->packed.ring[last % QUEUE_SIZE_MAX].flags;
  return !(flags & PVIRTQ_DESC_AVAIL) == !(flags & PVIRTQ_DESC_USED);
}

void storm_await(const struct victim *victim) {
  uint64_t deadline = clock_deadline(PATIENCE_US);
  while (!is_done(victim) && !clock_passed(deadline)) cpu_pause();
}
