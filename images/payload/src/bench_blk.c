/* Disk benchmarks: a fixed number of requests in flight, for a while. */
#include "bench.h"

#include "clock.h"
#include "random.h"
#include "x86.h"

enum { COMPLETION_TIMEOUT_US = 60000000 };

struct workload {
  struct blk *blk;
  const struct bench_options *options;
  struct bench_result *result;
  uint32_t type;
  bool random;
  uint64_t blocks, next_block;
  uint8_t *data;
  uint64_t submitted_at[BLK_DEPTH_MAX];
};

static uint64_t pick_block(struct workload *w) {
  uint64_t block = w->random ? random_next() : w->next_block++;
  return block % w->blocks;
}

static bool submit(struct workload *w, uint16_t slot) {
  uint32_t size = w->options->block_size, count = w->options->segments;
  uint8_t *data = w->data + (uint64_t)slot * size;
  struct buffer segments[BLK_SEGMENTS_MAX];
  for (uint32_t i = 0; i < count; i++) {
    segments[i] = (struct buffer){data + i * (size / count), size / count};
  }
  uint64_t sector = w->type == BLK_GET_ID ? 0 : pick_block(w) * (size / SECTOR_SIZE);
  w->submitted_at[slot] = read_tsc();
  return blk_submit(w->blk, slot, w->type, sector, segments, count);
}

/* Take every completion that is there, and put a new request in its place. */
static bool turn_around(struct workload *w, bool resubmit) {
  uint16_t slot;
  uint32_t length;
  while (virtqueue_take(&w->blk->queue, &slot, &length)) {
    if (*(volatile uint8_t *)&w->blk->requests[slot].status != BLK_OK) return false;
    bench_record(w->result, read_tsc() - w->submitted_at[slot]);
    w->result->operations++;
    w->result->bytes += w->options->block_size;
    if (resubmit && !submit(w, slot)) return false;
  }
  if (resubmit) virtqueue_kick(&w->blk->queue);
  return true;
}

static bool wait(struct workload *w) {
  return virtqueue_wait(&w->blk->queue, clock_deadline(COMPLETION_TIMEOUT_US));
}

static bool pump(struct workload *w) {
  bench_start(w->result);
  uint64_t deadline = clock_deadline(w->options->microseconds);
  for (uint16_t slot = 0; slot < w->options->depth; slot++) {
    if (!submit(w, slot)) return false;
  }
  virtqueue_kick(&w->blk->queue);
  while (!clock_passed(deadline)) {
    if (!wait(w) || !turn_around(w, true)) return false;
  }
  bench_stop(w->result);
  struct virtqueue *queue = &w->blk->queue;
  uint64_t counted = w->result->operations;
  while (queue->used_next != queue->avail_next) {
    if (!wait(w) || !turn_around(w, false)) return false;
  }
  w->result->operations = counted; /* what came after the bell doesn't count */
  w->result->bytes = counted * w->options->block_size;
  return true;
}

static bool valid(const struct bench_options *options) {
  return options->device < disk_count && options->depth && options->depth <= BLK_DEPTH_MAX &&
         options->segments && options->segments <= BLK_SEGMENTS_MAX &&
         options->block_size >= SECTOR_SIZE &&
         options->block_size % (SECTOR_SIZE * options->segments) == 0;
}

/* Kept between benchmarks: pages are never freed. */
static uint8_t *data_buffer(const struct bench_options *options) {
  static uint8_t *data;
  if (!data) data = allocate_pages((uint64_t)options->block_size * options->depth);
  return data;
}

static bool run(const struct bench_options *options, struct bench_result *result, uint32_t type,
                bool random) {
  static struct workload w;
  if (!valid(options) || !disk_start(disks[options->device], options->wait)) return false;
  w = (struct workload){.blk = disks[options->device], .options = options, .result = result,
                        .type = type, .random = random, .data = data_buffer(options)};
  w.blocks = w.blk->sectors / (options->block_size / SECTOR_SIZE);
  return w.blocks && options->segments <= w.blk->segments_max && pump(&w);
}

static bool random_read(const struct bench_options *options, struct bench_result *result) {
  return run(options, result, BLK_IN, true);
}

static bool random_write(const struct bench_options *options, struct bench_result *result) {
  return run(options, result, BLK_OUT, true);
}

static bool sequential_read(const struct bench_options *options, struct bench_result *result) {
  return run(options, result, BLK_IN, false);
}

static bool sequential_write(const struct bench_options *options, struct bench_result *result) {
  return run(options, result, BLK_OUT, false);
}

/* Doorbell ping-pong: GET_ID makes the device think, but not work. */
static bool doorbell(const struct bench_options *options, struct bench_result *result) {
  struct bench_options one = *options;
  one.depth = one.segments = 1;
  one.block_size = SECTOR_SIZE;
  return run(&one, result, BLK_GET_ID, false);
}

const struct benchmark blk_benchmarks[] = {
    {"blk-randread", random_read}, {"blk-randwrite", random_write},
    {"blk-seqread", sequential_read}, {"blk-seqwrite", sequential_write},
    {"doorbell", doorbell},        {0, 0},
};
