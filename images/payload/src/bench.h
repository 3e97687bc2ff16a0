/*
 * Mode `bench=NAME[,NAME...]`: measure one path for a while and print one line
 * `bench: name=NAME key=value ...`. All values are integers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "devices.h"

/* From the command line (README.md lists the words). */
struct bench_options {
  uint32_t block_size, depth, segments, frame_size;
  uint64_t microseconds;
  enum wait_mode wait;
  unsigned device;     /* which disk or interface */
  uint32_t reg, value; /* of the window, for mmio-* */
  uint16_t port;
  bool ring0, offload;
};

/* Latencies in TSC ticks: 16 buckets per power of two. */
enum { BUCKETS_PER_OCTAVE = 16, BUCKET_COUNT = 64 * BUCKETS_PER_OCTAVE };

struct bench_result {
  uint64_t started, operations, bytes;
  uint64_t elapsed; /* ticks; set by bench_stop */
  uint64_t least, most, samples;
  uint32_t buckets[BUCKET_COUNT];
};

struct benchmark {
  const char *name;
  bool (*run)(const struct bench_options *options, struct bench_result *result);
};

extern const struct benchmark blk_benchmarks[], net_benchmarks[], exit_benchmarks[];

void bench_start(struct bench_result *result);
void bench_record(struct bench_result *result, uint64_t ticks);
void bench_stop(struct bench_result *result);
