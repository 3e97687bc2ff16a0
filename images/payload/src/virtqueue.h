/* Virtqueues, driver side (virtio 1.2 §2.6): split ones, and packed ones where negotiated. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "virtio_mmio.h"

enum { QUEUE_SIZE_MAX = 256, CHAIN_LENGTH_MAX = 34 };

/* §2.7.5 */
struct virtq_desc {
  uint64_t address;
  uint32_t length;
  uint16_t flags, next;
};
enum { VIRTQ_DESC_NEXT = 1, VIRTQ_DESC_WRITE = 2, VIRTQ_DESC_INDIRECT = 4 };

/* §2.7.6; with EVENT_IDX, ring[size] is used_event. */
struct virtq_avail {
  uint16_t flags, idx, ring[QUEUE_SIZE_MAX + 1];
};
enum { VIRTQ_AVAIL_NO_INTERRUPT = 1 };

/* §2.7.8; with EVENT_IDX, the u16 behind ring[size - 1] is avail_event. */
struct virtq_used_element {
  uint32_t id, length;
};
struct virtq_used {
  uint16_t flags, idx;
  struct virtq_used_element ring[QUEUE_SIZE_MAX + 1];
};
enum { VIRTQ_USED_NO_NOTIFY = 1 };

/* §2.8.13 */
struct pvirtq_desc {
  uint64_t address;
  uint32_t length;
  uint16_t id, flags;
};
enum { PVIRTQ_DESC_AVAIL = 1 << 7, PVIRTQ_DESC_USED = 1 << 15 };

struct packed_ring {
  /* Shared with the device. */
  volatile struct pvirtq_desc ring[QUEUE_SIZE_MAX] __attribute__((aligned(64)));
  volatile uint32_t driver_event, device_event; /* §2.8.14 */

  uint16_t next, used_next; /* ring slots */
  bool next_wrap, used_wrap;
  uint16_t unpublished, held_slot, held_flags;
  uint16_t slots[QUEUE_SIZE_MAX]; /* that a buffer id takes */
  uint16_t free_ids[QUEUE_SIZE_MAX], free_id_count;
};

/* How a driver learns of completions. */
enum wait_mode { WAIT_POLLING, WAIT_INTERRUPTS };

struct buffer {
  void *data;
  uint32_t length;
};

struct virtqueue {
  /* Shared with the device. */
  struct virtq_desc desc[QUEUE_SIZE_MAX] __attribute__((aligned(4096)));
  volatile struct virtq_avail avail __attribute__((aligned(64)));
  volatile struct virtq_used used __attribute__((aligned(64)));
  struct virtq_desc indirect[QUEUE_SIZE_MAX][CHAIN_LENGTH_MAX] __attribute__((aligned(64)));
  struct packed_ring packed; /* instead of the first three, with RING_PACKED */

  struct virtio_device *device;
  enum wait_mode wait;
  uint16_t index, size;
  uint16_t free_head, free_count;
  uint16_t avail_next;     /* chains added; the next avail index, published by virtqueue_kick */
  uint16_t used_next;      /* chains taken; the next used index to look at */
  uint16_t token[QUEUE_SIZE_MAX];
  uint32_t notifications;   /* doorbells rung, for the curious */
  uint32_t lost_interrupts; /* completions that should have interrupted, and didn't */
};

/* §4.2.3.2, between negotiation and DRIVER_OK. False when there is no such queue. */
bool virtqueue_init(struct virtqueue *queue, struct virtio_device *device, uint16_t index,
                    uint16_t size_limit, enum wait_mode wait);

/*
 * Queue a chain: first the device-readable buffers, then the writable ones.
 * The token comes back with the completion. False when the queue is full.
 */
bool virtqueue_add(struct virtqueue *queue, const struct buffer *buffers, unsigned readable,
                   unsigned writable, uint16_t token);

/* Publish what was added and ring the doorbell if the device wants it (§2.7.13). */
void virtqueue_kick(struct virtqueue *queue);

/* Take one completion, if there is one (§2.7.14). */
bool virtqueue_take(struct virtqueue *queue, uint16_t *token, uint32_t *length);

/* Wait for a completion by the queue's wait mode. False when the deadline passed. */
bool virtqueue_wait(struct virtqueue *queue, uint64_t deadline);
