/* The disk half of mode `demo`. */
#include "demo.h"

#include "clock.h"
#include "cmdline.h"
#include "interrupts.h"
#include "machine.h"
#include "serial.h"
#include "x86.h"

/* One transfer: so many bytes in so many segments of unequal length. */
struct shape {
  uint32_t bytes, segments;
};
static const struct shape shapes[] = {
    {512, 1}, {KIB(4), 1}, {KIB(4), 3}, {KIB(64), 16}, {MIB(1), 1}, {MIB(1), BLK_SEGMENTS_MAX},
};
enum { SHAPE_COUNT = sizeof shapes / sizeof *shapes, LARGEST = MIB(1), FIRST_SECTOR = 2 };

static uint8_t *pattern, *readback, *saved;

static const char *status_name(uint8_t status) {
  switch (status) {
    case BLK_OK: return "OK";
    case BLK_IOERR: return "IOERR";
    case BLK_UNSUPPORTED: return "UNSUPP";
    case BLK_TIMEOUT: return "timeout";
    default: return "no status";
  }
}

static bool succeeded(const struct blk *blk, const char *operation, uint8_t status) {
  if (!check(status == BLK_OK)) {
    print("blk%u: %s FAILED: %s\n", blk->number, operation, status_name(status));
  }
  return status == BLK_OK;
}

/* Pieces of odd lengths at odd addresses, which no part of §5.2 forbids. */
static unsigned cut(const struct blk *blk, uint8_t *data, struct shape shape,
                    struct buffer *segments) {
  uint32_t count = shape.segments < blk->segments_max ? shape.segments : blk->segments_max;
  uint32_t piece = shape.bytes / count, offset = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t shift = (i % 2 ? 0 : 24) + i;
    uint32_t end = i + 1 == count ? shape.bytes : (i + 1) * piece - shift % piece;
    segments[i] = (struct buffer){data + offset, end - offset};
    offset = end;
  }
  return count;
}

static uint8_t transfer(struct blk *blk, uint32_t type, uint8_t *data, struct shape shape) {
  struct buffer segments[BLK_SEGMENTS_MAX];
  unsigned count = cut(blk, data, shape, segments);
  return blk_execute(blk, type, FIRST_SECTOR, segments, count);
}

static void fill_pattern(uint32_t bytes, uint64_t seed) {
  uint64_t *words = (uint64_t *)pattern;
  for (uint32_t i = 0; i < bytes / sizeof *words; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX generator */
    words[i] = seed;
  }
}

static uint8_t flush(struct blk *blk) {
  return blk->has_flush ? blk_execute(blk, BLK_FLUSH, 0, 0, 0) : BLK_OK;
}

static bool write_flush_read(struct blk *blk, struct shape shape, uint64_t seed) {
  fill_pattern(shape.bytes, seed);
  memset(readback, 0, shape.bytes);
  if (!succeeded(blk, "write", transfer(blk, BLK_OUT, pattern, shape))) return false;
  if (!succeeded(blk, "flush", flush(blk))) return false;
  if (!succeeded(blk, "read", transfer(blk, BLK_IN, readback, shape))) return false;
  return check(memcmp(pattern, readback, shape.bytes) == 0);
}

static bool fits(const struct blk *blk, uint32_t bytes) {
  return FIRST_SECTOR + bytes / SECTOR_SIZE <= blk->sectors;
}

static uint32_t largest_that_fits(const struct blk *blk) {
  uint32_t bytes = 0;
  for (unsigned i = 0; i < SHAPE_COUNT; i++) {
    if (fits(blk, shapes[i].bytes)) bytes = shapes[i].bytes;
  }
  return bytes;
}

static void print_size(uint64_t bytes) {
  if (bytes >= MIB(1) && bytes % MIB(1) == 0) {
    print("%lu MiB", bytes / MIB(1));
  } else if (bytes >= KIB(1) && bytes % KIB(1) == 0) {
    print("%lu KiB", bytes / KIB(1));
  } else {
    print("%lu B", bytes);
  }
}

static void describe_disk(struct blk *blk) {
  char id[BLK_ID_LENGTH + 1] = {0}; /* §5.2.6: not terminated when 20 bytes long */
  struct buffer space = {id, BLK_ID_LENGTH};
  succeeded(blk, "get id", blk_execute(blk, BLK_GET_ID, 0, &space, 1));
  /* A mistake on purpose, for fuzzers to find: it believes the length. */
  if (cmdline_has("gullible")) id[blk->written - 1] = 0;
  print("blk%u: ", blk->number);
  print_size(blk->sectors * SECTOR_SIZE);
  print(", %s, id \"%s\", block size %u, %u segments, queue of %u, features 0x%lx\n",
        blk->read_only ? "read-only" : "read-write", id, blk->block_size, blk->segments_max,
        blk->queue.size, blk->device->features);
}

/* §5.2.6.2: a write to a read-only device fails with IOERR. */
static void check_refused_write(struct blk *blk) {
  uint8_t status = transfer(blk, BLK_OUT, pattern, shapes[0]);
  print("blk%u: write to the read-only disk: %s (%s)\n", blk->number, status_name(status),
        check(status == BLK_IOERR) ? "as it must" : "FAILED");
}

/* The disk's own contents are put back, unless the word `keep` is there. */
static void check_writes(struct blk *blk) {
  struct shape all = {largest_that_fits(blk), 1};
  uint32_t interrupts = interrupts_taken(blk->device->gsi);
  if (!all.bytes || !succeeded(blk, "read", transfer(blk, BLK_IN, saved, all))) return;
  uint64_t start = read_tsc();
  bool good = true;
  for (unsigned i = 0; i < SHAPE_COUNT && good; i++) {
    if (fits(blk, shapes[i].bytes)) good = write_flush_read(blk, shapes[i], i + 1);
  }
  uint64_t microseconds = clock_nanoseconds(read_tsc() - start) / 1000;
  if (!cmdline_has("keep")) succeeded(blk, "restore", transfer(blk, BLK_OUT, saved, all));
  print("blk%u: write+flush+read 512 B to ", blk->number);
  print_size(all.bytes);
  print(" %s (%s), %lu us, %u interrupts\n", good ? "verified" : "FAILED",
        wait_name(blk->queue.wait), microseconds,
        interrupts_taken(blk->device->gsi) - interrupts);
}

static void check_first_sector(struct blk *blk) {
  struct buffer sector = {readback, SECTOR_SIZE};
  if (!succeeded(blk, "read", blk_execute(blk, BLK_IN, 0, &sector, 1))) return;
  print("blk%u: sector 0 read (%s):", blk->number, wait_name(blk->queue.wait));
  for (unsigned i = 0; i < 8; i++) print(" %02x", readback[i]);
  print("\n");
}

static void exercise(struct blk *blk, enum wait_mode wait) {
  if (!disk_start(blk, wait)) return;
  if (wait == WAIT_POLLING) describe_disk(blk);
  check_first_sector(blk);
  if (blk->read_only) {
    check_refused_write(blk);
  } else {
    check_writes(blk);
  }
  check_interrupts(&blk->queue, "blk", blk->number);
}

void demo_disk(struct blk *blk) {
  if (!pattern) {
    pattern = allocate_pages(LARGEST);
    readback = allocate_pages(LARGEST);
    saved = allocate_pages(LARGEST);
  }
  exercise(blk, WAIT_POLLING);
  exercise(blk, WAIT_INTERRUPTS);
}
