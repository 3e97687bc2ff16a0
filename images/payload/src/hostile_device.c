#include "hostile.h"

#include "clock.h"
#include "random.h"
#include "x86.h"

enum {
  REGISTERS_END = 0x200, /* every offset up to here, every STRIDE-th behind */
  STRIDE = 61,
  WIDEST = 8,
  RESET_ROUNDS = 8,
  RESET_REQUESTS = 16,
  RESET_REQUEST_SIZE = KIB(64),
  SETTLE_US = 20000,
  MARKER = 0xa5,
};

/* A mixture of small numbers, all ones and noise. */
static uint64_t wild_value(void) {
  uint64_t random = random_next();
  switch (random >> 62) {
    case 0: return random & 15;
    case 1: return ~0ull;
    default: return random;
  }
}

static void access_all_widths(uintptr_t address, uint32_t room) {
  mmio_read8(address);
  mmio_write8(address, (uint8_t)wild_value());
  if (room < 2) return;
  mmio_read16(address);
  mmio_write16(address, (uint16_t)wild_value());
  if (room < 4) return;
  mmio_read32(address);
  mmio_write32(address, (uint32_t)wild_value());
  if (room < WIDEST) return;
  mmio_read64(address);
  mmio_write64(address, wild_value());
}

bool hostile_registers(struct virtio_device *device) {
  uint32_t step = 1;
  for (uint32_t offset = 0; offset < device->size; offset += step) {
    access_all_widths(device->base + offset, device->size - offset);
    if (offset >= REGISTERS_END) step = STRIDE;
  }
  return virtio_reset(device);
}

static bool submit_reads(struct blk *blk, uint8_t *data) {
  uint64_t span = RESET_REQUEST_SIZE / SECTOR_SIZE;
  for (uint16_t slot = 0; slot < RESET_REQUESTS; slot++) {
    struct buffer buffer = {data + slot * RESET_REQUEST_SIZE, RESET_REQUEST_SIZE};
    uint64_t sector = (slot + 1) * span <= blk->sectors ? slot * span : 0;
    if (!blk_submit(blk, slot, BLK_IN, sector, &buffer, 1)) return false;
  }
  virtqueue_kick(&blk->queue);
  return true;
}

static void wait_a_moment(void) {
  uint64_t deadline = clock_deadline(SETTLE_US);
  while (!clock_passed(deadline)) cpu_pause();
}

static bool all_marked(const uint8_t *data, uint32_t length) {
  for (uint32_t i = 0; i < length; i++) {
    if (data[i] != MARKER) return false;
  }
  return true;
}

/* Once the status reads 0, the memory is ours again: mark it, and see if it stays. */
bool hostile_reset_in_flight(struct blk *blk) {
  static uint8_t *data;
  uint32_t length = RESET_REQUESTS * RESET_REQUEST_SIZE;
  if (!data) data = allocate_pages(length);
  for (unsigned round = 0; round < RESET_ROUNDS; round++) {
    if (!blk_start(blk, WAIT_POLLING) || !submit_reads(blk, data)) return false;
    if (!virtio_reset(blk->device)) return false;
    memset(data, MARKER, length);
    uint16_t used = blk->queue.used.idx;
    wait_a_moment();
    if (!all_marked(data, length) || blk->queue.used.idx != used) return false;
  }
  return true;
}
