#include "blk.h"

#include "clock.h"
#include "features.h"

/* §5.2.4: struct virtio_blk_config. */
enum { CONFIG_CAPACITY = 0, CONFIG_SEG_MAX = 12, CONFIG_BLK_SIZE = 20 };
enum { REQUEST_TIMEOUT_US = 30000000 };

struct blk *blk_create(struct virtio_device *device, unsigned number) {
  struct blk *blk = allocate_pages(sizeof *blk);
  blk->device = device;
  blk->number = number;
  return blk;
}

static void read_config(struct blk *blk) {
  struct virtio_device *device = blk->device;
  blk->sectors = virtio_config64(device, CONFIG_CAPACITY);
  blk->block_size =
      device->features & BLK_F_BLK_SIZE ? virtio_config32(device, CONFIG_BLK_SIZE) : SECTOR_SIZE;
  blk->segments_max =
      device->features & BLK_F_SEG_MAX ? virtio_config32(device, CONFIG_SEG_MAX) : 1;
  if (blk->segments_max > BLK_SEGMENTS_MAX) blk->segments_max = BLK_SEGMENTS_MAX;
  blk->read_only = device->features & BLK_F_RO;
  blk->has_flush = device->features & BLK_F_FLUSH;
}

bool blk_start(struct blk *blk, enum wait_mode wait) {
  uint64_t wanted = BLK_F_SEG_MAX | BLK_F_RO | BLK_F_BLK_SIZE | BLK_F_FLUSH;
  if (!virtio_negotiate(blk->device, wanted | features_from_command_line())) return false;
  read_config(blk);
  if (!virtqueue_init(&blk->queue, blk->device, 0, QUEUE_SIZE_MAX, wait)) return false;
  virtio_driver_ok(blk->device);
  return true;
}

static bool device_writes(uint32_t type) { return type == BLK_IN || type == BLK_GET_ID; }

bool blk_submit(struct blk *blk, uint16_t slot, uint32_t type, uint64_t sector,
                const struct buffer *data, unsigned count) {
  struct blk_request *request = &blk->requests[slot];
  *request = (struct blk_request){.type = type, .sector = sector, .status = BLK_PENDING};
  struct buffer chain[BLK_SEGMENTS_MAX + 2];
  unsigned length = 0;
  chain[length++] = (struct buffer){request, BLK_HEADER_SIZE};
  for (unsigned i = 0; i < count; i++) chain[length++] = data[i];
  chain[length++] = (struct buffer){&request->status, sizeof request->status};
  unsigned writable = device_writes(type) ? count + 1 : 1;
  return virtqueue_add(&blk->queue, chain, length - writable, writable, slot);
}

uint8_t blk_execute(struct blk *blk, uint32_t type, uint64_t sector, const struct buffer *data,
                    unsigned count) {
  uint16_t slot;
  if (!blk_submit(blk, 0, type, sector, data, count)) return BLK_TIMEOUT;
  virtqueue_kick(&blk->queue);
  if (!virtqueue_wait(&blk->queue, clock_deadline(REQUEST_TIMEOUT_US))) return BLK_TIMEOUT;
  virtqueue_take(&blk->queue, &slot, &blk->written);
  return *(volatile uint8_t *)&blk->requests[slot].status;
}
