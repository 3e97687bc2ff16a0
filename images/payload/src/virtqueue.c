#include "virtqueue.h"

#include "clock.h"
#include "interrupts.h"
#include "packed_ring.h"
#include "x86.h"

/* By the clock, and in sleeps: a CPU that the host took away has seen none. */
enum { INTERRUPT_PATIENCE_US = 30000000, INTERRUPT_PATIENCE_SLEEPS = 4 };

static bool has_event_idx(const struct virtqueue *queue) {
  return queue->device->features & VIRTIO_F_EVENT_IDX;
}

static bool is_packed(const struct virtqueue *queue) {
  return queue->device->features & VIRTIO_F_RING_PACKED;
}

static volatile uint16_t *used_event(struct virtqueue *queue) {
  return &queue->avail.ring[queue->size];
}

static volatile uint16_t *avail_event(struct virtqueue *queue) {
  return (volatile uint16_t *)&queue->used.ring[queue->size];
}

/* Ask for no interrupt: by flag, or by an event index that is always far away. */
static void suppress_interrupts(struct virtqueue *queue) {
  if (is_packed(queue)) {
    packed_suppress_interrupts(queue);
  } else if (has_event_idx(queue)) {
    *used_event(queue) = queue->used_next - 1;
  } else {
    queue->avail.flags = VIRTQ_AVAIL_NO_INTERRUPT;
  }
}

/* Ask for an interrupt with the next completion. */
static void request_interrupt(struct virtqueue *queue) {
  if (is_packed(queue)) {
    packed_request_interrupt(queue);
  } else if (has_event_idx(queue)) {
    *used_event(queue) = queue->used_next;
  } else {
    queue->avail.flags = 0;
  }
}

static void write_address(const struct virtio_device *device, uint32_t low_register,
                          const volatile void *memory) {
  virtio_write(device, low_register, (uint32_t)(uintptr_t)memory);
  virtio_write(device, low_register + 4, (uint32_t)((uintptr_t)memory >> 32));
}

static void reset_state(struct virtqueue *queue) {
  memset((void *)&queue->avail, 0, sizeof queue->avail);
  memset((void *)&queue->used, 0, sizeof queue->used);
  for (uint16_t i = 0; i < queue->size; i++) queue->desc[i].next = i + 1;
  queue->free_head = 0;
  queue->free_count = queue->size;
  queue->avail_next = queue->used_next = 0;
  if (is_packed(queue)) packed_reset(queue);
  suppress_interrupts(queue);
}

bool virtqueue_init(struct virtqueue *queue, struct virtio_device *device, uint16_t index,
                    uint16_t size_limit, enum wait_mode wait) {
  virtio_write(device, VIRTIO_MMIO_QUEUE_SEL, index);
  uint32_t maximum = virtio_read(device, VIRTIO_MMIO_QUEUE_NUM_MAX);
  if (maximum == 0 || virtio_read(device, VIRTIO_MMIO_QUEUE_READY) != 0) return false;
  queue->device = device;
  queue->index = index;
  queue->wait = wait;
  queue->size = maximum < size_limit ? (uint16_t)maximum : size_limit;
  reset_state(queue);
  virtio_write(device, VIRTIO_MMIO_QUEUE_NUM, queue->size);
  bool packed = is_packed(queue);
  write_address(device, VIRTIO_MMIO_QUEUE_DESC_LOW,
                packed ? (volatile void *)queue->packed.ring : queue->desc);
  write_address(device, VIRTIO_MMIO_QUEUE_DRIVER_LOW,
                packed ? (volatile void *)&queue->packed.driver_event : &queue->avail);
  write_address(device, VIRTIO_MMIO_QUEUE_DEVICE_LOW,
                packed ? (volatile void *)&queue->packed.device_event : &queue->used);
  virtio_write(device, VIRTIO_MMIO_QUEUE_READY, 1);
  return true;
}

static void describe(struct virtq_desc *desc, const struct buffer *buffer, bool writable,
                     bool last) {
  desc->address = (uintptr_t)buffer->data;
  desc->length = buffer->length;
  desc->flags = (writable ? VIRTQ_DESC_WRITE : 0) | (last ? 0 : VIRTQ_DESC_NEXT);
}

/* §2.7.5.3: the whole chain in a table of its own, one descriptor in the ring. */
static void add_indirect(struct virtqueue *queue, const struct buffer *buffers, unsigned readable,
                         unsigned count) {
  uint16_t head = queue->free_head;
  struct virtq_desc *table = queue->indirect[head];
  for (unsigned i = 0; i < count; i++) {
    describe(&table[i], &buffers[i], i >= readable, i + 1 == count);
    table[i].next = (uint16_t)(i + 1);
  }
  struct virtq_desc *desc = &queue->desc[head];
  queue->free_head = desc->next;
  queue->free_count--;
  desc->address = (uintptr_t)table;
  desc->length = count * sizeof *table;
  desc->flags = VIRTQ_DESC_INDIRECT;
}

/* The free list is already linked through `next`. */
static void add_direct(struct virtqueue *queue, const struct buffer *buffers, unsigned readable,
                       unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    struct virtq_desc *desc = &queue->desc[queue->free_head];
    describe(desc, &buffers[i], i >= readable, i + 1 == count);
    queue->free_head = desc->next;
  }
  queue->free_count -= count;
}

bool virtqueue_add(struct virtqueue *queue, const struct buffer *buffers, unsigned readable,
                   unsigned writable, uint16_t token) {
  unsigned count = readable + writable;
  bool indirect = count > 1 && (queue->device->features & VIRTIO_F_INDIRECT_DESC);
  if (queue->free_count < (indirect ? 1 : count) || count > CHAIN_LENGTH_MAX) return false;
  queue->avail_next++;
  if (is_packed(queue)) {
    packed_add(queue, buffers, readable, count, indirect, token);
    return true;
  }
  uint16_t head = queue->free_head;
  if (indirect) {
    add_indirect(queue, buffers, readable, count);
  } else {
    add_direct(queue, buffers, readable, count);
  }
  queue->token[head] = token;
  queue->avail.ring[(uint16_t)(queue->avail_next - 1) % queue->size] = head;
  return true;
}

/* §2.7.10: true when `event` lies in (old, new], modulo 2^16. */
static bool event_passed(uint16_t event, uint16_t new, uint16_t old) {
  return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

/* Publish what was added; true when the device wants the doorbell for it. */
static bool publish(struct virtqueue *queue) {
  uint16_t old = queue->avail.idx;
  compiler_barrier();
  queue->avail.idx = queue->avail_next;
  store_load_fence();
  return has_event_idx(queue) ? event_passed(*avail_event(queue), queue->avail_next, old)
                              : !(queue->used.flags & VIRTQ_USED_NO_NOTIFY);
}

void virtqueue_kick(struct virtqueue *queue) {
  if (!(is_packed(queue) ? packed_publish(queue) : publish(queue))) return;
  queue->notifications++;
  virtio_write(queue->device, VIRTIO_MMIO_QUEUE_NOTIFY, queue->index);
}

static void free_chain(struct virtqueue *queue, uint16_t head) {
  uint16_t tail = head, count = 1;
  while (queue->desc[tail].flags & VIRTQ_DESC_NEXT) tail = queue->desc[tail].next, count++;
  queue->desc[tail].next = queue->free_head;
  queue->free_head = head;
  queue->free_count += count;
}

bool virtqueue_take(struct virtqueue *queue, uint16_t *token, uint32_t *length) {
  if (is_packed(queue)) {
    bool taken = packed_take(queue, token, length);
    queue->used_next += taken;
    return taken;
  }
  if (queue->used.idx == queue->used_next) return false;
  compiler_barrier();
  volatile struct virtq_used_element *element = &queue->used.ring[queue->used_next % queue->size];
  uint16_t head = (uint16_t)element->id % queue->size;
  *length = element->length;
  *token = queue->token[head];
  queue->used_next++;
  free_chain(queue, head);
  if (queue->wait == WAIT_POLLING && has_event_idx(queue)) suppress_interrupts(queue);
  return true;
}

static bool completed(const struct virtqueue *queue) {
  if (is_packed(queue)) return packed_completed(queue);
  return queue->used.idx != queue->used_next;
}

static bool wait_polling(struct virtqueue *queue, uint64_t deadline) {
  while (!completed(queue)) {
    if (clock_passed(deadline)) return false;
    cpu_pause();
  }
  return true;
}

/*
 * A completion came, but something else ended our sleep. The interrupt we asked
 * for must be on its way: without this check the heartbeat would hide its loss.
 */
static void expect_interrupt(struct virtqueue *queue, uint32_t taken_before) {
  uint64_t deadline = clock_deadline(INTERRUPT_PATIENCE_US);
  unsigned sleeps = 0;
  while (interrupts_taken(queue->device->gsi) == taken_before) {
    if (sleeps++ >= INTERRUPT_PATIENCE_SLEEPS && clock_passed(deadline)) {
      queue->lost_interrupts++;
      return;
    }
    interrupts_wait();
  }
}

static bool wait_for_interrupt(struct virtqueue *queue, uint64_t deadline) {
  while (!completed(queue)) {
    request_interrupt(queue);
    store_load_fence();
    if (completed(queue)) break;
    uint32_t taken = interrupts_taken(queue->device->gsi);
    interrupts_wait();
    if (completed(queue)) {
      expect_interrupt(queue, taken);
    } else if (clock_passed(deadline)) {
      return false;
    }
  }
  suppress_interrupts(queue);
  return true;
}

bool virtqueue_wait(struct virtqueue *queue, uint64_t deadline) {
  return queue->wait == WAIT_POLLING ? wait_polling(queue, deadline)
                                     : wait_for_interrupt(queue, deadline);
}
