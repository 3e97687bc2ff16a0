/*
 * Mode `hostile=NAME`: do wrong to the first disk (and the first interface) on
 * purpose, see what the device makes of it, and check that it works again after
 * a reset and that a second disk has not noticed.
 */
#include "hostile.h"

#include "attacks.h"
#include "clock.h"
#include "cmdline.h"
#include "inet.h"
#include "machine.h"
#include "modes.h"
#include "serial.h"
#include "x86.h"

enum { SILENCE_US = 50000, OUTCOME_US = 60000000, DRAIN_TIMEOUT_US = 60000000 };
enum { DATA_SIZE = PAGE_SIZE, FRAME_PART = 64 };

/* A device under attack: exactly one of blk and net is set. */
struct target {
  struct blk *blk;
  struct net *net;
};

static struct virtio_device *target_device(const struct target *target) {
  return target->blk ? target->blk->device : target->net->device;
}

static struct virtqueue *target_queue(const struct target *target) {
  return target->blk ? &target->blk->queue : &target->net->transmit;
}

static const char *outcome_name(enum outcome outcome) {
  switch (outcome) {
    case OUTCOME_NEEDS_RESET: return "needs-reset";
    case OUTCOME_ERROR: return "error-status";
    case OUTCOME_COMPLETED: return "completed";
    default: return "silent";
  }
}

static uint8_t *scratch_page(void) {
  static uint8_t *page;
  if (!page) page = allocate_pages(DATA_SIZE);
  return page;
}

/* A read of sector 0 with a page of data. */
static void prepare_read(struct blk *blk, struct buffer *chain) {
  struct blk_request *request = &blk->requests[0];
  *request = (struct blk_request){.type = BLK_IN, .status = BLK_PENDING};
  chain[HEAD] = (struct buffer){request, BLK_HEADER_SIZE};
  chain[MIDDLE] = (struct buffer){scratch_page(), DATA_SIZE};
  chain[TAIL] = (struct buffer){&request->status, sizeof request->status};
}

/* A broadcast frame of zeros, in three parts. */
static void prepare_frame(struct net *net, struct buffer *chain) {
  uint8_t *data = net->transmit_buffers[0];
  memset(data, 0, NET_BUFFER_SIZE);
  memset(data + NET_HEADER_SIZE, 0xff, MAC_LENGTH);
  chain[HEAD] = (struct buffer){data, NET_HEADER_SIZE};
  chain[MIDDLE] = (struct buffer){data + NET_HEADER_SIZE, FRAME_PART};
  chain[TAIL] = (struct buffer){data + NET_HEADER_SIZE + FRAME_PART, FRAME_PART};
}

/* The valid request that every attack starts from (attacks.h). */
static void prepare_request(const struct target *target) {
  struct virtqueue *queue = target_queue(target);
  struct buffer chain[CHAIN_LENGTH];
  if (target->blk) {
    prepare_read(target->blk, chain);
  } else {
    prepare_frame(target->net, chain);
  }
  for (uint16_t i = HEAD; i <= TAIL; i++) {
    uint16_t write = target->blk && i != HEAD ? VIRTQ_DESC_WRITE : 0;
    uint16_t next = i != TAIL ? VIRTQ_DESC_NEXT : 0;
    queue->desc[i] = (struct virtq_desc){(uintptr_t)chain[i].data, chain[i].length,
                                         (uint16_t)(write | next), (uint16_t)(i + 1)};
  }
  queue->avail.ring[0] = HEAD;
  queue->avail_next = 1;
}

static enum outcome completion(const struct target *target) {
  if (!target->blk) return OUTCOME_COMPLETED;
  uint8_t status = *(volatile uint8_t *)&target->blk->requests[0].status;
  return status == BLK_OK ? OUTCOME_COMPLETED : OUTCOME_ERROR;
}

/* Silence is only known from time that passes: where it is wrong, there is time. */
static enum outcome observe(const struct target *target, const struct attack *attack) {
  struct virtqueue *queue = target_queue(target);
  bool may_be_silent = !target->blk || attack->tolerated & OUTCOME_SILENT;
  uint64_t deadline = clock_deadline(may_be_silent ? SILENCE_US : OUTCOME_US);
  while (!clock_passed(deadline)) {
    if (virtio_read(queue->device, VIRTIO_MMIO_STATUS) & VIRTIO_STATUS_NEEDS_RESET) {
      return OUTCOME_NEEDS_RESET;
    }
    if (queue->used.idx != 0) return completion(target);
  }
  return OUTCOME_SILENT;
}

static enum outcome run_attack(const struct attack *attack, const struct target *target) {
  struct virtio_device *device = target_device(target);
  struct virtqueue *queue = target_queue(target);
  uint16_t index = target->blk ? 0 : NET_TRANSMIT_QUEUE;
  bool ready = virtio_negotiate(device, VIRTIO_F_INDIRECT_DESC) &&
               virtqueue_init(queue, device, index, QUEUE_SIZE_MAX, WAIT_POLLING);
  if (!check(ready)) return OUTCOME_SILENT;
  if (attack->on_setup) attack->on_setup(queue);
  virtio_driver_ok(device);
  prepare_request(target);
  if (attack->on_request) attack->on_request(queue);
  compiler_barrier();
  queue->avail.idx = queue->avail_next;
  virtio_write(device, VIRTIO_MMIO_QUEUE_NOTIFY, index);
  return observe(target, attack);
}

static bool reads_sector(struct blk *blk) {
  struct buffer sector = {scratch_page(), SECTOR_SIZE};
  return blk_execute(blk, BLK_IN, 0, &sector, 1) == BLK_OK;
}

static bool recovers(const struct target *target) {
  if (target->blk) return blk_start(target->blk, WAIT_POLLING) && reads_sector(target->blk);
  struct inet inet = {.net = target->net};
  if (!net_start(target->net, WAIT_POLLING)) return false;
  inet_send_arp_request(&inet, 0);
  return net_drain(target->net, clock_deadline(DRAIN_TIMEOUT_US));
}

/* A disk that was started once, before any attack, and is never reset. */
static struct blk *bystander(const struct target *target) {
  unsigned index = target->blk ? 1 : 0;
  return index < disk_count ? disks[index] : 0;
}

static void report(const char *name, const struct target *target, const char *outcome,
                   bool tolerated) {
  bool recovered = recovers(target);
  struct blk *other = bystander(target);
  bool unharmed = !other || reads_sector(other);
  print("hostile: %s %s outcome=%s recovered=%s bystander=%s verdict=%s\n",
        target->blk ? "blk0" : "net0", name, outcome, recovered ? "yes" : "no",
        other ? (unharmed ? "ok" : "no") : "none",
        check(tolerated && recovered && unharmed) ? "ok" : "FAILED");
}

static void attack_with_request(const struct attack *attack, const struct target *target) {
  enum outcome outcome = run_attack(attack, target);
  bool tolerated = !target->blk || (outcome & attack->tolerated);
  report(attack->name, target, outcome_name(outcome), tolerated);
}

static void attack_registers(const struct target *target) {
  bool lived = hostile_registers(target_device(target));
  report("wildregs", target, lived ? "lived" : "no-reset", lived);
}

static void attack_reset(const struct target *target) {
  bool quiet = hostile_reset_in_flight(target->blk);
  report("resetinflight", target, quiet ? "quiet" : "written-after-reset", quiet);
}

static bool attack_target(const char *name, const struct target *target) {
  bool all = text_equals(name, "all"), known = all;
  for (unsigned i = 0; i < attack_count; i++) {
    if (!all && !text_equals(name, attacks[i].name)) continue;
    attack_with_request(&attacks[i], target);
    known = true;
  }
  if (all || text_equals(name, "wildregs")) {
    attack_registers(target);
    known = true;
  }
  if (all || text_equals(name, "resetinflight")) {
    if (target->blk) attack_reset(target);
    known = true;
  }
  return known;
}

void mode_hostile(void) {
  const char *name;
  for (unsigned i = 0; i < disk_count; i++) {
    if (!disk_start(disks[i], WAIT_POLLING)) return;
  }
  for (unsigned n = 0; (name = cmdline_value("hostile", n)); n++) {
    bool known = true;
    if (disk_count) known = attack_target(name, &(struct target){.blk = disks[0]});
    if (network_count) known = attack_target(name, &(struct target){.net = networks[0]});
    if (!check(known)) print("hostile: no attack is called \"%s\" FAILED\n", name);
  }
}
