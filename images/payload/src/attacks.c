#include "attacks.h"

#include "blk.h"
#include "boot.h"

/* Guest physical addresses where no RAM is. */
#define BEYOND_RAM 0x400000000000ull
#define MMIO_HOLE 0xd0000000ull
#define LAST_PAGE 0xfffffffffffff000ull

enum { OVERLONG_TABLE = 4 * QUEUE_SIZE_MAX, REFUSED = OUTCOME_NEEDS_RESET | OUTCOME_ERROR };

/* Descriptors */

static void loop(struct virtqueue *queue) {
  queue->desc[TAIL].flags |= VIRTQ_DESC_NEXT;
  queue->desc[TAIL].next = HEAD;
}

static void self_loop(struct virtqueue *queue) {
  queue->desc[MIDDLE].next = MIDDLE;
}

static void bad_next(struct virtqueue *queue) { queue->desc[MIDDLE].next = queue->size; }

static void outside(struct virtqueue *queue) { queue->desc[MIDDLE].address = BEYOND_RAM; }

static void hole(struct virtqueue *queue) { queue->desc[MIDDLE].address = MMIO_HOLE; }

static void edge(struct virtqueue *queue) {
  queue->desc[MIDDLE].address = boot.heap_end - queue->desc[MIDDLE].length / 2;
}

static void wrap(struct virtqueue *queue) {
  queue->desc[MIDDLE].address = LAST_PAGE;
  queue->desc[MIDDLE].length = 2 * PAGE_SIZE;
}

static void outside_head(struct virtqueue *queue) { queue->desc[HEAD].address = BEYOND_RAM; }

static void outside_tail(struct virtqueue *queue) { queue->desc[TAIL].address = BEYOND_RAM; }

static void zero_length(struct virtqueue *queue) { queue->desc[MIDDLE].length = 0; }

static void all_zero_length(struct virtqueue *queue) {
  for (unsigned i = HEAD; i <= TAIL; i++) queue->desc[i].length = 0;
}

static void huge_length(struct virtqueue *queue) { queue->desc[MIDDLE].length = UINT32_MAX; }

static void huge_lengths(struct virtqueue *queue) {
  for (unsigned i = HEAD; i <= TAIL; i++) queue->desc[i].length = UINT32_MAX;
}

/* Indirect tables (§2.7.5.3) */

static struct virtq_desc overlong_table[OVERLONG_TABLE];

static void point_to_table(struct virtqueue *queue, uint64_t address, uint32_t length) {
  queue->desc[HEAD].flags = VIRTQ_DESC_INDIRECT;
  queue->desc[HEAD].address = address;
  queue->desc[HEAD].length = length;
}

static void copy_chain(struct virtqueue *queue, struct virtq_desc *table) {
  for (unsigned i = HEAD; i <= TAIL; i++) table[i] = queue->desc[i];
}

/* Header, then the same buffer again and again, then the status. */
static void long_chain(struct virtqueue *queue) {
  for (unsigned i = 0; i < OVERLONG_TABLE; i++) {
    overlong_table[i] = queue->desc[i == 0 ? HEAD : MIDDLE];
    overlong_table[i].length = i == 0 ? overlong_table[i].length : 512;
    overlong_table[i].next = (uint16_t)(i + 1);
  }
  overlong_table[OVERLONG_TABLE - 1] = queue->desc[TAIL];
  point_to_table(queue, (uintptr_t)overlong_table, sizeof overlong_table);
}

/* The ring itself as one chain through every descriptor, and then on into itself. */
static void long_ring(struct virtqueue *queue) {
  for (uint16_t i = TAIL; i < queue->size; i++) {
    queue->desc[i] = queue->desc[MIDDLE];
    queue->desc[i].next = (uint16_t)((i + 1) % queue->size);
  }
}

static void nested_indirect(struct virtqueue *queue) {
  struct virtq_desc *outer = queue->indirect[0], *inner = queue->indirect[1];
  copy_chain(queue, inner);
  *outer = (struct virtq_desc){(uintptr_t)inner, CHAIN_LENGTH * sizeof *inner,
                               VIRTQ_DESC_INDIRECT, 0};
  point_to_table(queue, (uintptr_t)outer, sizeof *outer);
}

static void indirect_and_next(struct virtqueue *queue) {
  copy_chain(queue, queue->indirect[0]);
  point_to_table(queue, (uintptr_t)queue->indirect[0], CHAIN_LENGTH * sizeof(struct virtq_desc));
  queue->desc[HEAD].flags |= VIRTQ_DESC_NEXT;
}

static void indirect_odd(struct virtqueue *queue) {
  copy_chain(queue, queue->indirect[0]);
  point_to_table(queue, (uintptr_t)queue->indirect[0],
                 CHAIN_LENGTH * sizeof(struct virtq_desc) - 7);
}

static void indirect_empty(struct virtqueue *queue) {
  point_to_table(queue, (uintptr_t)queue->indirect[0], 0);
}

static void indirect_outside(struct virtqueue *queue) {
  point_to_table(queue, BEYOND_RAM, CHAIN_LENGTH * sizeof(struct virtq_desc));
}

static void indirect_huge(struct virtqueue *queue) {
  copy_chain(queue, queue->indirect[0]);
  point_to_table(queue, (uintptr_t)queue->indirect[0], UINT32_MAX & ~15u);
}

static void indirect_bad_next(struct virtqueue *queue) {
  copy_chain(queue, queue->indirect[0]);
  queue->indirect[0][MIDDLE].next = CHAIN_LENGTH;
  point_to_table(queue, (uintptr_t)queue->indirect[0], CHAIN_LENGTH * sizeof(struct virtq_desc));
}

/* Directions: the device must not read what is writable, nor write what is readable. */

static void all_writable(struct virtqueue *queue) {
  for (unsigned i = HEAD; i <= TAIL; i++) queue->desc[i].flags |= VIRTQ_DESC_WRITE;
}

static void all_readable(struct virtqueue *queue) {
  for (unsigned i = HEAD; i <= TAIL; i++) queue->desc[i].flags &= (uint16_t)~VIRTQ_DESC_WRITE;
}

static void writable_first(struct virtqueue *queue) {
  queue->desc[HEAD].flags |= VIRTQ_DESC_WRITE;
  queue->desc[MIDDLE].flags &= (uint16_t)~VIRTQ_DESC_WRITE;
}

static void lone_head(struct virtqueue *queue) {
  queue->desc[HEAD].flags &= (uint16_t)~VIRTQ_DESC_NEXT;
}

static void short_head(struct virtqueue *queue) { queue->desc[HEAD].length = 7; }

/* The request header: blk's, and for net just garbage in its own. */

static struct blk_request *header(struct virtqueue *queue) {
  return (struct blk_request *)queue->desc[HEAD].address;
}

static void bad_type(struct virtqueue *queue) { header(queue)->type = 0x5a5a; }

static void beyond_end(struct virtqueue *queue) { header(queue)->sector = 1ull << 40; }

static void sector_wrap(struct virtqueue *queue) { header(queue)->sector = UINT64_MAX; }

static void odd_length(struct virtqueue *queue) { queue->desc[MIDDLE].length = 100; }

/* Rings */

static void bad_index(struct virtqueue *queue) { queue->avail_next += 2 * queue->size; }

static void back_index(struct virtqueue *queue) { queue->avail_next = UINT16_MAX; }

static void bad_head(struct virtqueue *queue) { queue->avail.ring[0] = queue->size; }

static void worst_head(struct virtqueue *queue) { queue->avail.ring[0] = UINT16_MAX; }

static void same_head(struct virtqueue *queue) {
  for (uint16_t i = 0; i < queue->size; i++) queue->avail.ring[i] = HEAD;
  queue->avail_next = queue->size;
}

/* Queues: each makes the queue not ready, changes it, and makes it ready again. */

static void set_registers(struct virtqueue *queue, uint32_t offset, uint64_t value, bool wide) {
  const struct virtio_device *device = queue->device;
  virtio_write(device, VIRTIO_MMIO_QUEUE_READY, 0);
  virtio_write(device, offset, (uint32_t)value);
  if (wide) virtio_write(device, offset + 4, (uint32_t)(value >> 32));
  virtio_write(device, VIRTIO_MMIO_QUEUE_READY, 1);
}

static void desc_outside(struct virtqueue *queue) {
  set_registers(queue, VIRTIO_MMIO_QUEUE_DESC_LOW, BEYOND_RAM, true);
}

static void avail_outside(struct virtqueue *queue) {
  set_registers(queue, VIRTIO_MMIO_QUEUE_DRIVER_LOW, BEYOND_RAM, true);
}

static void used_outside(struct virtqueue *queue) {
  set_registers(queue, VIRTIO_MMIO_QUEUE_DEVICE_LOW, BEYOND_RAM, true);
}

static void used_in_hole(struct virtqueue *queue) {
  set_registers(queue, VIRTIO_MMIO_QUEUE_DEVICE_LOW, MMIO_HOLE, true);
}

static void used_at_edge(struct virtqueue *queue) {
  set_registers(queue, VIRTIO_MMIO_QUEUE_DEVICE_LOW, boot.heap_end - 8, true);
}

static void used_wrap(struct virtqueue *queue) {
  set_registers(queue, VIRTIO_MMIO_QUEUE_DEVICE_LOW, LAST_PAGE, true);
}

static void used_misaligned(struct virtqueue *queue) {
  set_registers(queue, VIRTIO_MMIO_QUEUE_DEVICE_LOW, (uintptr_t)&queue->used + 1, true);
}

static void size_zero(struct virtqueue *queue) {
  set_registers(queue, VIRTIO_MMIO_QUEUE_NUM, 0, false);
}

static void size_odd(struct virtqueue *queue) {
  set_registers(queue, VIRTIO_MMIO_QUEUE_NUM, 3, false);
}

static void size_huge(struct virtqueue *queue) {
  set_registers(queue, VIRTIO_MMIO_QUEUE_NUM, UINT32_MAX, false);
}

static void not_ready(struct virtqueue *queue) {
  virtio_write(queue->device, VIRTIO_MMIO_QUEUE_READY, 0);
}

static void bad_notify(struct virtqueue *queue) {
  static const uint32_t numbers[] = {2, 7, 0xff, 0xffff, 0x10000, UINT32_MAX};
  for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    virtio_write(queue->device, VIRTIO_MMIO_QUEUE_NOTIFY, numbers[i]);
  }
}

const struct attack attacks[] = {
    {"loop", 0, loop, REFUSED},
    {"selfloop", 0, self_loop, REFUSED},
    {"badnext", 0, bad_next, REFUSED},
    {"outside", 0, outside, REFUSED},
    {"outsidehead", 0, outside_head, REFUSED},
    {"outsidetail", 0, outside_tail, OUTCOME_ANY & ~OUTCOME_SILENT},
    {"hole", 0, hole, REFUSED},
    {"edge", 0, edge, REFUSED},
    {"wrap", 0, wrap, REFUSED},
    {"zerolen", 0, zero_length, OUTCOME_ANY},
    {"allzerolen", 0, all_zero_length, OUTCOME_ANY},
    {"hugelen", 0, huge_length, REFUSED},
    {"hugelens", 0, huge_lengths, REFUSED},
    {"longchain", 0, long_chain, OUTCOME_ANY},
    {"longring", 0, long_ring, REFUSED},
    {"nested", 0, nested_indirect, REFUSED},
    {"indirectnext", 0, indirect_and_next, OUTCOME_ANY},
    {"indirectodd", 0, indirect_odd, REFUSED},
    {"indirectempty", 0, indirect_empty, REFUSED},
    {"indirectoutside", 0, indirect_outside, REFUSED},
    {"indirecthuge", 0, indirect_huge, OUTCOME_ANY},
    {"indirectbadnext", 0, indirect_bad_next, REFUSED},
    {"allwritable", 0, all_writable, OUTCOME_ANY & ~OUTCOME_COMPLETED},
    {"allreadable", 0, all_readable, OUTCOME_ANY},
    {"writablefirst", 0, writable_first, OUTCOME_ANY & ~OUTCOME_COMPLETED},
    {"lonehead", 0, lone_head, OUTCOME_ANY},
    {"shorthead", 0, short_head, OUTCOME_ANY},
    {"badtype", 0, bad_type, REFUSED},
    {"beyondend", 0, beyond_end, REFUSED},
    {"sectorwrap", 0, sector_wrap, REFUSED},
    {"oddlength", 0, odd_length, OUTCOME_ANY},
    {"badindex", 0, bad_index, OUTCOME_NEEDS_RESET},
    {"backindex", 0, back_index, OUTCOME_NEEDS_RESET},
    {"badhead", 0, bad_head, OUTCOME_NEEDS_RESET},
    {"worsthead", 0, worst_head, OUTCOME_NEEDS_RESET},
    {"samehead", 0, same_head, OUTCOME_ANY},
    {"descoutside", desc_outside, 0, OUTCOME_NEEDS_RESET | OUTCOME_SILENT},
    {"availoutside", avail_outside, 0, OUTCOME_NEEDS_RESET | OUTCOME_SILENT},
    {"usedoutside", used_outside, 0, OUTCOME_NEEDS_RESET | OUTCOME_SILENT},
    {"usedhole", used_in_hole, 0, OUTCOME_NEEDS_RESET | OUTCOME_SILENT},
    {"usededge", used_at_edge, 0, OUTCOME_NEEDS_RESET | OUTCOME_SILENT},
    {"usedwrap", used_wrap, 0, OUTCOME_NEEDS_RESET | OUTCOME_SILENT},
    {"usedodd", used_misaligned, 0, OUTCOME_ANY},
    {"size0", size_zero, 0, OUTCOME_ANY},
    {"sizeodd", size_odd, 0, OUTCOME_ANY},
    {"sizehuge", size_huge, 0, OUTCOME_ANY},
    {"notready", not_ready, 0, OUTCOME_NEEDS_RESET | OUTCOME_SILENT},
    {"badnotify", 0, bad_notify, OUTCOME_ANY},
};
const unsigned attack_count = sizeof attacks / sizeof *attacks;
