/* Malformed chains, rings and queues: what a hostile driver hands to a device. */
#pragma once

#include "virtqueue.h"

/* What a device may do about it. */
enum outcome {
  OUTCOME_NEEDS_RESET = 1 << 0, /* §2.1: DEVICE_NEEDS_RESET is set */
  OUTCOME_ERROR = 1 << 1,       /* the request completed with an error status */
  OUTCOME_COMPLETED = 1 << 2,   /* the request completed as if nothing were wrong */
  OUTCOME_SILENT = 1 << 3,      /* nothing happened */
  OUTCOME_ANY = OUTCOME_NEEDS_RESET | OUTCOME_ERROR | OUTCOME_COMPLETED | OUTCOME_SILENT,
};

/*
 * Every attack starts from a valid request: a chain of three in descriptors
 * 0, 1 and 2, whose head is in avail.ring[0], about to be published.
 */
enum { HEAD = 0, MIDDLE = 1, TAIL = 2, CHAIN_LENGTH = 3 };

struct attack {
  const char *name;
  void (*on_setup)(struct virtqueue *queue);   /* before DRIVER_OK, or null */
  void (*on_request)(struct virtqueue *queue); /* before the request is published, or null */
  unsigned tolerated;                          /* outcomes; a net device may always drop */
};

extern const struct attack attacks[];
extern const unsigned attack_count;
