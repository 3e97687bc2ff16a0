#include "packed_ring.h"

#include "x86.h"

/* §2.8.14 */
enum { EVENT_ENABLE = 0, EVENT_DISABLE = 1, EVENT_DESC = 2 };
enum { WRAP_BIT = 0x8000 };

void packed_reset(struct virtqueue *queue) {
  struct packed_ring *packed = &queue->packed;
  memset(packed, 0, sizeof *packed);
  packed->next_wrap = packed->used_wrap = true;
  for (uint16_t i = 0; i < queue->size; i++) packed->free_ids[i] = i;
  packed->free_id_count = queue->size;
  packed_suppress_interrupts(queue);
}

/* §2.8.1: AVAIL is our wrap counter, USED its inverse. */
static uint16_t availability(const struct packed_ring *packed) {
  return packed->next_wrap ? PVIRTQ_DESC_AVAIL : PVIRTQ_DESC_USED;
}

static void advance(struct virtqueue *queue) {
  struct packed_ring *packed = &queue->packed;
  if (++packed->next < queue->size) return;
  packed->next = 0;
  packed->next_wrap = !packed->next_wrap;
}

/* The flags of the first descriptor since the last publication are held back. */
static void put(struct virtqueue *queue, uintptr_t address, uint32_t length, uint16_t id,
                uint16_t flags) {
  struct packed_ring *packed = &queue->packed;
  volatile struct pvirtq_desc *desc = &packed->ring[packed->next];
  flags |= availability(packed);
  desc->address = address;
  desc->length = length;
  desc->id = id;
  if (packed->unpublished++ == 0) {
    packed->held_slot = packed->next;
    packed->held_flags = flags;
  } else {
    desc->flags = flags;
  }
  advance(queue);
}

void packed_add(struct virtqueue *queue, const struct buffer *buffers, unsigned readable,
                unsigned count, bool indirect, uint16_t token) {
  struct packed_ring *packed = &queue->packed;
  uint16_t id = packed->free_ids[--packed->free_id_count];
  queue->token[id] = token;
  packed->slots[id] = indirect ? 1 : (uint16_t)count;
  queue->free_count -= packed->slots[id];
  struct pvirtq_desc *table = (struct pvirtq_desc *)queue->indirect[id];
  for (unsigned i = 0; i < count; i++) {
    uintptr_t address = (uintptr_t)buffers[i].data;
    uint16_t flags = i >= readable ? VIRTQ_DESC_WRITE : 0;
    if (indirect) {
      table[i] = (struct pvirtq_desc){address, buffers[i].length, 0, flags};
    } else {
      put(queue, address, buffers[i].length, id,
          (uint16_t)(flags | (i + 1 < count ? VIRTQ_DESC_NEXT : 0)));
    }
  }
  if (indirect) {
    put(queue, (uintptr_t)table, count * sizeof *table, id, VIRTQ_DESC_INDIRECT);
  }
}

/* §2.7.10 */
static bool event_passed(uint16_t event, uint16_t new, uint16_t old) {
  return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

bool packed_publish(struct virtqueue *queue) {
  struct packed_ring *packed = &queue->packed;
  uint16_t added = packed->unpublished;
  if (!added) return false;
  packed->unpublished = 0;
  compiler_barrier();
  packed->ring[packed->held_slot].flags = packed->held_flags;
  store_load_fence();
  uint32_t event = *(volatile uint32_t *)&packed->device_event;
  uint16_t flags = (uint16_t)(event >> 16) & 3, offset = (uint16_t)event & (WRAP_BIT - 1);
  if (flags != EVENT_DESC) return flags == EVENT_ENABLE;
  if (!!(event & WRAP_BIT) != packed->next_wrap) offset -= queue->size;
  return event_passed(offset, packed->next, packed->next - added);
}

bool packed_completed(const struct virtqueue *queue) {
  const struct packed_ring *packed = &queue->packed;
  uint16_t flags = *(volatile const uint16_t *)&packed->ring[packed->used_next].flags;
  bool avail = flags & PVIRTQ_DESC_AVAIL, used = flags & PVIRTQ_DESC_USED;
  return avail == used && used == packed->used_wrap;
}

bool packed_take(struct virtqueue *queue, uint16_t *token, uint32_t *length) {
  struct packed_ring *packed = &queue->packed;
  if (!packed_completed(queue)) return false;
  compiler_barrier();
  volatile struct pvirtq_desc *desc = &packed->ring[packed->used_next];
  uint16_t id = desc->id % queue->size;
  *length = desc->length;
  *token = queue->token[id];
  packed->free_ids[packed->free_id_count++] = id;
  queue->free_count += packed->slots[id];
  packed->used_next += packed->slots[id];
  if (packed->used_next >= queue->size) {
    packed->used_next -= queue->size;
    packed->used_wrap = !packed->used_wrap;
  }
  return true;
}

void packed_suppress_interrupts(struct virtqueue *queue) {
  queue->packed.driver_event = (uint32_t)EVENT_DISABLE << 16;
}

void packed_request_interrupt(struct virtqueue *queue) {
  struct packed_ring *packed = &queue->packed;
  uint32_t wish = (uint32_t)EVENT_ENABLE << 16;
  if (queue->device->features & VIRTIO_F_EVENT_IDX) {
    wish = packed->used_next | (packed->used_wrap ? WRAP_BIT : 0) | (uint32_t)EVENT_DESC << 16;
  }
  packed->driver_event = wish;
}
