/*
 * Mode `storm=NAME`: two CPUs at once against the first disk and the first
 * interface, for `seconds`. One drives them, the other does wrong to them. The
 * last disk stands by: it must go on working, and in the end the others, too.
 */
#include "storm.h"

#include "clock.h"
#include "cmdline.h"
#include "cpus.h"
#include "devices.h"
#include "inet.h"
#include "machine.h"
#include "modes.h"
#include "serial.h"
#include "storm_memory.h"
#include "storm_registers.h"
#include "x86.h"

enum { VICTIMS_MAX = 2, BATCH = 4, CHECK_EVERY_US = 200000, STOP_TIMEOUT_US = 60000000 };
enum { DRAIN_TIMEOUT_US = 30000000, PHASE_SHIFT = 28, CHECK_SECTORS = 8 };

struct storm {
  const char *name;
  void (*drive)(struct victim *victim);   /* the boot CPU */
  void (*disturb)(struct victim *victim); /* the other one */
  bool pci_only;
};

static struct victim victims[VICTIMS_MAX];
static unsigned victim_count;
static struct blk *bystander;
static const struct storm *volatile current;
static volatile bool idle;

static void drive_requests(struct victim *victim) {
  storm_keep_running(victim, 0);
  for (unsigned i = 0; i < 8; i++) {
    storm_submit(victim, BATCH);
    storm_ring(victim, 0);
    storm_await(victim);
  }
}

static void drive_doorbells(struct victim *victim) {
  storm_keep_running(victim, 0);
  storm_submit(victim, BATCH);
  storm_doorbells(victim, 0);
}

static void disturb_doorbells(struct victim *victim) { storm_doorbells(victim, 1); }

/* Every tenth of a second or so the CPUs change places. */
static bool first_phase(void) { return read_tsc() >> PHASE_SHIFT & 1; }

static void drive_resets(struct victim *victim) {
  storm_start(victim, 0);
  if (first_phase()) return drive_requests(victim);
  storm_submit(victim, BATCH);
  storm_ring(victim, 0);
  virtio_write(victim->device, VIRTIO_MMIO_STATUS, 0);
}

static void disturb_resets(struct victim *victim) {
  if (!first_phase()) return storm_scribble(victim);
  virtio_write(victim->device, VIRTIO_MMIO_STATUS, 0);
  storm_counts[1].resets++;
  if (read_tsc() & 0x100) storm_start(victim, 1);
}

static void drive_accesses(struct victim *victim) {
  storm_accesses(victim, 0);
  storm_restore(victim);
  if (storm_start(victim, 0)) drive_requests(victim);
}

static void disturb_accesses(struct victim *victim) { storm_accesses(victim, 1); }

static void disturb_moves(struct victim *victim) { storm_moves(victim, 1); }

static const struct storm storms[] = {
    {"rings", drive_requests, storm_flip_rings, false},
    {"headers", drive_requests, storm_flip_headers, false},
    {"doorbells", drive_doorbells, disturb_doorbells, false},
    {"resets", drive_resets, disturb_resets, false},
    {"registers", drive_accesses, disturb_accesses, false},
    {"moves", drive_requests, disturb_moves, true},
};
enum { STORM_COUNT = sizeof storms / sizeof *storms };

/* The other CPU, for ever. */
static void disturb(unsigned number) {
  (void)number;
  for (;;) {
    const struct storm *storm = current;
    if (!storm) {
      idle = true;
      cpu_pause();
      continue;
    }
    for (unsigned i = 0; i < victim_count; i++) storm->disturb(&victims[i]);
  }
}

static bool stop_disturbing(void) {
  current = 0;
  idle = false;
  uint64_t deadline = clock_deadline(STOP_TIMEOUT_US);
  while (!idle) {
    if (clock_passed(deadline)) return false;
    cpu_pause();
  }
  return true;
}

/* What was written is what is read, and nobody else's writes are. */
static bool keeps_data(struct blk *blk, uint64_t sector, uint32_t seed) {
  static uint32_t *written, *back;
  uint32_t length = CHECK_SECTORS * SECTOR_SIZE, words = length / sizeof *written;
  if (!written) written = allocate_pages(length), back = allocate_pages(length);
  for (uint32_t i = 0; i < words; i++) written[i] = (seed + i) * 0x9e3779b1;
  struct buffer out = {written, length}, in = {back, length};
  if (blk_execute(blk, BLK_OUT, sector, &out, 1) != BLK_OK) return false;
  if (blk_execute(blk, BLK_IN, sector, &in, 1) != BLK_OK) return false;
  return memcmp(written, back, length) == 0;
}

/* Drive and disturb until the time is over; how often the bystander was right, or 0. */
static unsigned rage(const struct storm *storm, uint64_t seconds) {
  uint64_t end = clock_deadline(seconds * 1000000), next = 0;
  unsigned checks = 0;
  current = storm;
  while (!clock_passed(end)) {
    if (bystander && clock_passed(next)) {
      uint64_t sector = checks * CHECK_SECTORS % (bystander->sectors - CHECK_SECTORS);
      if (!keeps_data(bystander, sector, checks)) return 0;
      checks++;
      next = clock_deadline(CHECK_EVERY_US);
    }
    for (unsigned i = 0; i < victim_count; i++) storm->drive(&victims[i]);
  }
  return checks;
}

static bool recovers(struct victim *victim) {
  storm_restore(victim);
  if (victim->blk) {
    return blk_start(victim->blk, WAIT_POLLING) && keeps_data(victim->blk, 0, 0x5eed);
  }
  struct inet inet = {.net = victim->net};
  if (!net_start(victim->net, WAIT_POLLING)) return false;
  inet_configure(&inet, victim->net);
  if (inet.peer) return inet_resolve_peer(&inet);
  inet_send_arp_request(&inet, inet.address);
  return net_drain(victim->net, clock_deadline(DRAIN_TIMEOUT_US));
}

static void report(const struct storm *storm, unsigned checks, bool stopped) {
  bool recovered = stopped;
  for (unsigned i = 0; i < victim_count && recovered; i++) recovered = recovers(&victims[i]);
  const struct storm_counts *a = &storm_counts[0], *b = &storm_counts[1];
  print("storm: %s accesses=%lu doorbells=%lu requests=%lu resets=%lu flips=%lu\n", storm->name,
        a->accesses + b->accesses, a->doorbells + b->doorbells, a->requests,
        a->resets + b->resets, b->flips);
  print("storm: %s bystander=%u recovered=%s verdict=%s\n", storm->name, checks,
        recovered ? "yes" : "no", check(recovered && checks) ? "ok" : "FAILED");
}

static void run(const struct storm *storm, uint64_t seconds) {
  if (storm->pci_only && !victims[0].device->pci.common) return;
  memset(storm_counts, 0, sizeof storm_counts);
  print("storm: %s begins\n", storm->name);
  unsigned checks = rage(storm, seconds);
  report(storm, checks, stop_disturbing());
}

void mode_storm(void) {
  if (disk_count < 2) machine_panic("storm= needs two disks");
  bystander = disks[disk_count - 1];
  if (!disk_start(bystander, WAIT_POLLING)) return;
  storm_prepare(&victims[victim_count++], disks[0], 0);
  if (network_count) storm_prepare(&victims[victim_count++], 0, networks[0]);
  if (!cpus_start(2, disturb)) machine_panic("storm= needs a second CPU");
  const char *name;
  for (unsigned n = 0; (name = cmdline_value("storm", n)); n++) {
    bool known = text_equals(name, "all");
    for (unsigned i = 0; i < STORM_COUNT; i++) {
      if (!text_equals(name, "all") && !text_equals(name, storms[i].name)) continue;
      run(&storms[i], cmdline_number("seconds", 1));
      known = true;
    }
    if (!check(known)) print("storm: none is called \"%s\" FAILED\n", name);
  }
}
