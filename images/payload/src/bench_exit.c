/* The price of leaving the guest: register and port accesses, and nothing else. */
#include "bench.h"

#include "clock.h"
#include "ring0.h"
#include "x86.h"

enum { BATCH = 256 };

typedef void loop(const struct bench_options *options, uintptr_t window);

static void read_register(const struct bench_options *options, uintptr_t window) {
  if (options->ring0) {
    ring0_call(ring0_mmio_read_loop, window, BATCH, 0);
  } else {
    for (unsigned i = 0; i < BATCH; i++) mmio_read32(window);
  }
}

static void write_register(const struct bench_options *options, uintptr_t window) {
  if (options->ring0) {
    ring0_call(ring0_mmio_write_loop, window, BATCH, options->value);
  } else {
    for (unsigned i = 0; i < BATCH; i++) mmio_write32(window, options->value);
  }
}

/* What an interrupt handler does: read InterruptStatus, write InterruptACK. */
static void read_and_acknowledge(const struct bench_options *options, uintptr_t window) {
  uintptr_t status = window, acknowledge =
                                 window - VIRTIO_MMIO_INTERRUPT_STATUS + VIRTIO_MMIO_INTERRUPT_ACK;
  if (options->ring0) {
    ring0_call(ring0_mmio_ack_loop, status, BATCH, acknowledge);
  } else {
    for (unsigned i = 0; i < BATCH; i++) mmio_write32(acknowledge, mmio_read32(status));
  }
}

static void read_port(const struct bench_options *options, uintptr_t window) {
  (void)window;
  if (options->ring0) {
    ring0_call(ring0_port_read_loop, options->port, BATCH, 0);
  } else {
    for (unsigned i = 0; i < BATCH; i++) in8(options->port);
  }
}

static void repeat(const struct bench_options *options, struct bench_result *result, loop *body,
                   uintptr_t window) {
  bench_start(result);
  uint64_t deadline = clock_deadline(options->microseconds);
  while (!clock_passed(deadline)) {
    uint64_t before = read_tsc();
    body(options, window);
    bench_record(result, (read_tsc() - before) / BATCH);
    result->operations += BATCH;
  }
  bench_stop(result);
}

/* On the first disk or interface, running, so that no register is out of service. */
static bool on_device(const struct bench_options *options, struct bench_result *result, loop *body,
                      uint32_t default_register) {
  struct virtio_device *device;
  if (options->device < disk_count && disk_start(disks[options->device], WAIT_POLLING)) {
    device = disks[options->device]->device;
  } else if (options->device < network_count &&
             network_start(networks[options->device], WAIT_POLLING)) {
    device = networks[options->device]->device;
  } else {
    return false;
  }
  uint32_t offset = options->reg == UINT32_MAX ? default_register : options->reg;
  if (offset > device->size - sizeof(uint32_t)) return false;
  repeat(options, result, body, device->base + offset);
  return true;
}

static bool mmio_read(const struct bench_options *options, struct bench_result *result) {
  return on_device(options, result, read_register, VIRTIO_MMIO_INTERRUPT_STATUS);
}

static bool mmio_write(const struct bench_options *options, struct bench_result *result) {
  return on_device(options, result, write_register, VIRTIO_MMIO_INTERRUPT_ACK);
}

/* A doorbell that nobody has to answer: the queue is empty. */
static bool notify(const struct bench_options *options, struct bench_result *result) {
  return on_device(options, result, write_register, VIRTIO_MMIO_QUEUE_NOTIFY);
}

static bool mmio_ack(const struct bench_options *options, struct bench_result *result) {
  return on_device(options, result, read_and_acknowledge, VIRTIO_MMIO_INTERRUPT_STATUS);
}

static bool pio_read(const struct bench_options *options, struct bench_result *result) {
  repeat(options, result, read_port, 0);
  return true;
}

const struct benchmark exit_benchmarks[] = {
    {"mmio-read", mmio_read}, {"mmio-write", mmio_write}, {"mmio-ack", mmio_ack},
    {"notify", notify},       {"pio-read", pio_read},     {0, 0},
};
