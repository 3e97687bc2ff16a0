#include "bench.h"

#include "clock.h"
#include "cmdline.h"
#include "interrupts.h"
#include "machine.h"
#include "modes.h"
#include "serial.h"
#include "x86.h"

enum {
  NAME_MAX = 32,
  DEFAULT_MILLISECONDS = 1000,
  DEFAULT_FRAME = 64,
  DEFAULT_PORT = 0x3fd, /* the serial port's line status: on every machine */
};

static struct bench_options read_options(void) {
  uint64_t milliseconds = cmdline_number("seconds", 0) * 1000;
  if (!milliseconds) milliseconds = cmdline_number("ms", DEFAULT_MILLISECONDS);
  return (struct bench_options){
      .block_size = (uint32_t)cmdline_number("bs", KIB(4)),
      .depth = (uint32_t)cmdline_number("qd", 1),
      .segments = (uint32_t)cmdline_number("segments", 1),
      .frame_size = (uint32_t)cmdline_number("frame", DEFAULT_FRAME),
      .microseconds = milliseconds * 1000,
      .wait = chosen_wait(),
      .device = (unsigned)cmdline_number("device", 0),
      .reg = (uint32_t)cmdline_number("reg", UINT32_MAX),
      .value = (uint32_t)cmdline_number("value", 0),
      .port = (uint16_t)cmdline_number("port", DEFAULT_PORT),
      .ring0 = cmdline_number("ring", 3) == 0,
      .offload = cmdline_has("offload"),
  };
}

void bench_start(struct bench_result *result) {
  memset(result, 0, sizeof *result);
  result->least = UINT64_MAX;
  result->started = read_tsc();
}

static unsigned bucket_of(uint64_t ticks) {
  if (ticks < BUCKETS_PER_OCTAVE) return (unsigned)ticks;
  unsigned octave = 63u - (unsigned)__builtin_clzll(ticks);
  unsigned fraction = (unsigned)(ticks >> (octave - 4)) % BUCKETS_PER_OCTAVE;
  return (octave - 3) * BUCKETS_PER_OCTAVE + fraction;
}

/* The least number of ticks that falls into this bucket. */
static uint64_t bucket_start(unsigned bucket) {
  if (bucket < BUCKETS_PER_OCTAVE) return bucket;
  unsigned octave = bucket / BUCKETS_PER_OCTAVE + 3, fraction = bucket % BUCKETS_PER_OCTAVE;
  return (uint64_t)(BUCKETS_PER_OCTAVE + fraction) << (octave - 4);
}

void bench_record(struct bench_result *result, uint64_t ticks) {
  result->samples++;
  result->buckets[bucket_of(ticks)]++;
  if (ticks < result->least) result->least = ticks;
  if (ticks > result->most) result->most = ticks;
}

void bench_stop(struct bench_result *result) { result->elapsed = read_tsc() - result->started; }

static uint64_t percentile(const struct bench_result *result, unsigned permille) {
  uint64_t rank = result->samples * permille / 1000, seen = 0;
  for (unsigned bucket = 0; bucket < BUCKET_COUNT; bucket++) {
    seen += result->buckets[bucket];
    if (seen <= rank) continue;
    uint64_t start = bucket_start(bucket);
    return start < result->least ? result->least : start;
  }
  return result->most;
}

static void print_latency(const struct bench_result *result) {
  print(" lat_min_ns=%lu lat_p50_ns=%lu lat_p99_ns=%lu lat_max_ns=%lu",
        clock_nanoseconds(result->least), clock_nanoseconds(percentile(result, 500)),
        clock_nanoseconds(percentile(result, 990)), clock_nanoseconds(result->most));
}

static void print_result(const char *name, const struct bench_options *options,
                         const struct bench_result *result) {
  uint64_t ns = clock_nanoseconds(result->elapsed);
  if (!ns) ns = 1;
  uint64_t operations = result->operations ? result->operations : 1;
  print("bench: name=%s bs=%u qd=%u segments=%u frame=%u wait=%s ring=%u offload=%u", name,
        options->block_size, options->depth, options->segments, options->frame_size,
        options->wait == WAIT_POLLING ? "poll" : "irq", options->ring0 ? 0 : 3, options->offload);
  print(" ns=%lu ops=%lu ops_per_s=%lu bytes_per_s=%lu ns_per_op=%lu", ns, result->operations,
        multiply_divide(result->operations, 1000000000, ns),
        multiply_divide(result->bytes, 1000000000, ns), ns / operations);
  if (result->samples) print_latency(result);
}

static uint32_t all_doorbells(void) {
  uint32_t sum = 0;
  for (unsigned i = 0; i < disk_count; i++) sum += disks[i]->queue.notifications;
  for (unsigned i = 0; i < network_count; i++) {
    sum += networks[i]->receive.notifications + networks[i]->transmit.notifications;
  }
  return sum;
}

static uint32_t all_interrupts(void) {
  uint32_t sum = 0;
  for (unsigned i = 0; i < virtio_device_count; i++) sum += interrupts_taken(virtio_devices[i].gsi);
  return sum;
}

static const struct benchmark *find(const char *name) {
  const struct benchmark *tables[] = {blk_benchmarks, net_benchmarks, exit_benchmarks};
  for (unsigned i = 0; i < sizeof tables / sizeof *tables; i++) {
    for (const struct benchmark *candidate = tables[i]; candidate->name; candidate++) {
      if (text_equals(candidate->name, name)) return candidate;
    }
  }
  return 0;
}

static void run(const char *name, const struct bench_options *options) {
  static struct bench_result result;
  const struct benchmark *benchmark = find(name);
  uint32_t doorbells = all_doorbells(), interrupts = all_interrupts();
  if (!check(benchmark && benchmark->run(options, &result))) {
    print("bench: name=%s FAILED\n", name);
    return;
  }
  print_result(name, options, &result);
  print(" doorbells=%u interrupts=%u\n", all_doorbells() - doorbells,
        all_interrupts() - interrupts);
}

/* Copy the next name of a comma-separated list; null at its end. */
static const char *next_name(const char *list, char *name) {
  unsigned length = 0;
  for (; *list && *list != ','; list++) {
    if (length < NAME_MAX - 1) name[length++] = *list;
  }
  name[length] = 0;
  return *list ? list + 1 : 0;
}

void mode_bench(void) {
  struct bench_options options = read_options();
  char name[NAME_MAX];
  for (const char *list = cmdline_value("bench", 0); list;) {
    list = next_name(list, name);
    run(name, &options);
  }
}
