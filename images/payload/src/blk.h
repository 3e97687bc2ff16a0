/* virtio-blk driver (virtio 1.2 §5.2). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "virtqueue.h"

enum { SECTOR_SIZE = 512, BLK_DEPTH_MAX = 64, BLK_SEGMENTS_MAX = 32, BLK_ID_LENGTH = 20 };

/* §5.2.6: request types, then status values, then one of our own. */
enum { BLK_IN = 0, BLK_OUT = 1, BLK_FLUSH = 4, BLK_GET_ID = 8 };
enum { BLK_OK = 0, BLK_IOERR = 1, BLK_UNSUPPORTED = 2, BLK_TIMEOUT = 0xfe, BLK_PENDING = 0xff };

#define BLK_F_SEG_MAX (1ull << 2)
#define BLK_F_RO (1ull << 5)
#define BLK_F_BLK_SIZE (1ull << 6)
#define BLK_F_FLUSH (1ull << 9)

/* §5.2.6: struct virtio_blk_req around its data. */
struct blk_request {
  uint32_t type, reserved;
  uint64_t sector;
  uint8_t status;
} __attribute__((aligned(32)));
enum { BLK_HEADER_SIZE = 16 };

struct blk {
  struct virtqueue queue;
  struct virtio_device *device;
  struct blk_request requests[BLK_DEPTH_MAX];
  uint64_t sectors;
  uint32_t block_size, segments_max;
  bool read_only, has_flush;
  unsigned number; /* blk0, blk1, ... */
  uint32_t written; /* by the last blk_execute, as the device says */
};

/* Memory for the number-th disk; blk_start makes it usable. */
struct blk *blk_create(struct virtio_device *device, unsigned number);

/* Reset and initialise, from any state. Feature words are from the command line. */
bool blk_start(struct blk *blk, enum wait_mode wait);

/* Queue a request in slot 0 <= slot < BLK_DEPTH_MAX; virtqueue_kick sends it. */
bool blk_submit(struct blk *blk, uint16_t slot, uint32_t type, uint64_t sector,
                const struct buffer *data, unsigned count);

/* One request, start to end. Returns its status. */
uint8_t blk_execute(struct blk *blk, uint32_t type, uint64_t sector, const struct buffer *data,
                    unsigned count);
