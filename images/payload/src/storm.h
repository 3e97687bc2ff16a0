/* What the attacks of mode `storm` share: victims, and work for them. */
#pragma once

#include "blk.h"
#include "net.h"

/* Guest physical addresses where no RAM is. */
#define STORM_BEYOND_RAM 0x400000000000ull
#define STORM_HOLE 0xd8000000ull
#define STORM_LAST_PAGE 0xfffffffffffff000ull

/* A device under attack: exactly one of blk and net is set. */
struct victim {
  struct virtio_device *device;
  struct blk *blk;
  struct net *net;
  struct virtqueue *queue; /* that requests are put in */
  uint8_t *arena;          /* all that requests point to */
  uint32_t submitted;
  uint16_t published;   /* avail.idx; in a packed ring, */
  uint16_t packed_next; /* the next slot, */
  bool packed_wrap;     /* and its wrap counter */
};

/*
 * The arena: headers, then data, then room for what a wrong length adds. Its
 * contents are harmless even as a descriptor table, for a device may take them
 * for one: no address in them is the payload's own.
 */
enum {
  STORM_GROUPS = 16, /* requests in flight */
  STORM_HEADER_STRIDE = 64,
  STORM_DATA = KIB(64),
  STORM_DATA_SIZE = KIB(4),
  STORM_ARENA = KIB(512),
  STORM_LENGTH_MAX = KIB(128),
};

/* What the two CPUs have done; each adds to its own. */
struct storm_counts {
  uint64_t accesses, doorbells, requests, resets, flips;
} __attribute__((aligned(64)));
extern struct storm_counts storm_counts[2];

/* Memory for the victim; the device is one of ours. */
void storm_prepare(struct victim *victim, struct blk *blk, struct net *net);

/* Reset and initialise; false when the device is not in a state for it. */
bool storm_start(struct victim *victim, unsigned cpu);

/* Start it when it isn't running, or no longer. */
void storm_keep_running(struct victim *victim, unsigned cpu);

/* Put a few requests in the queue, as a driver would; the doorbell is extra. */
void storm_submit(struct victim *victim, unsigned count);
void storm_ring(const struct victim *victim, unsigned cpu);

/* Give the device a moment, or less when it is done. */
void storm_await(const struct victim *victim);

/* The header of a group's request. */
uint8_t *storm_header(const struct victim *victim, unsigned group);
