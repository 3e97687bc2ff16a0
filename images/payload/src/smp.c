/* Mode `smp`: all CPUs at one device at the same time. */
#include "clock.h"
#include "cmdline.h"
#include "cpus.h"
#include "demo.h"
#include "devices.h"
#include "hostile.h"
#include "machine.h"
#include "memory.h"
#include "modes.h"
#include "ring0.h"
#include "serial.h"
#include "virtio_mmio.h"
#include "x86.h"

enum { MAGIC_VALUE = 0x74726976, VERSION = 2, LETTERS = 1000, TIMEOUT_US = 120000000 };

/* What the other CPUs do, and how many have done it. */
enum task { WAIT, READ_REGISTERS, ATTACK_REGISTERS, PRINT_LETTERS };
static volatile enum task task;
static unsigned finished;

static unsigned cpu_count;
static struct virtio_device *device;
static uint32_t device_id;
static uint64_t sectors;
static uint64_t reads, wrong_reads;

/* One counter per CPU and line of the cache, for those who look from outside. */
static volatile uint64_t counters[CPUS_MAX][8] __attribute__((aligned(64)));

static void expect(bool right) {
  __atomic_add_fetch(&reads, 1, __ATOMIC_RELAXED);
  if (!right) __atomic_add_fetch(&wrong_reads, 1, __ATOMIC_RELAXED);
}

/* Registers that do not change while a driver uses the device, and one that we may write. */
static void read_registers(void) {
  expect(virtio_read(device, VIRTIO_MMIO_MAGIC_VALUE) == MAGIC_VALUE);
  expect(virtio_read(device, VIRTIO_MMIO_VERSION) == VERSION);
  expect(virtio_read(device, VIRTIO_MMIO_DEVICE_ID) == device_id);
  expect(virtio_config64(device, 0) == sectors);
  expect(virtio_read(device, VIRTIO_MMIO_INTERRUPT_STATUS) <= 3);
  uint32_t status = virtio_read(device, VIRTIO_MMIO_STATUS);
  expect(!(status & (VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FAILED)));
  virtio_write(device, VIRTIO_MMIO_INTERRUPT_ACK, 0);
}

static void print_letters(unsigned number) {
  for (unsigned i = 0; i < LETTERS; i++) out8(COM1, (uint8_t)('A' + number));
}

static void do_tasks(unsigned number) {
  enum task done = WAIT;
  for (;;) {
    enum task now = task;
    if (now == READ_REGISTERS) {
      read_registers();
      done = now;
      continue;
    }
    if (done == now) {
      cpu_pause();
      continue;
    }
    if (now == ATTACK_REGISTERS) hostile_registers(device);
    if (now == PRINT_LETTERS) print_letters(number);
    done = now;
    __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
  }
}

/* Everybody does it; true when all have. */
static bool all_do(enum task what) {
  finished = 0;
  task = what;
  if (what == ATTACK_REGISTERS) hostile_registers(device);
  if (what == PRINT_LETTERS) print_letters(0);
  uint64_t deadline = clock_deadline(TIMEOUT_US);
  while (__atomic_load_n(&finished, __ATOMIC_SEQ_CST) < cpu_count - 1) {
    if (clock_passed(deadline)) return false;
    cpu_pause();
  }
  return true;
}

/* This CPU drives the disk, the others look at its registers all the time. */
static void check_concurrent_reads(void) {
  struct blk *blk = disks[0];
  device = blk->device;
  device_id = device->device_id;
  if (!disk_start(blk, WAIT_POLLING)) return;
  sectors = blk->sectors;
  task = READ_REGISTERS;
  demo_disk(blk);
  if (!all_do(WAIT)) print("smp: CPUs lost FAILED\n");
  bool good = check(reads > 0 && wrong_reads == 0);
  print("smp: %lu register reads beside the driver, %lu wrong %s\n", reads, wrong_reads,
        good ? "ok" : "FAILED");
}

/* Everything that a register takes, from all CPUs; then it must work again. */
static void check_attack(void) {
  bool good = check(all_do(ATTACK_REGISTERS));
  print("smp: wild accesses from %u CPUs %s\n", cpu_count, good ? "ok" : "FAILED");
  for (unsigned i = 0; i < disk_count; i++) demo_disk(disks[i]);
}

static void check_serial(void) {
  bool good = check(all_do(PRINT_LETTERS));
  print("\nsmp: %u letters from each CPU %s\n", LETTERS, good ? "ok" : "FAILED");
}

static void count(unsigned number) {
  for (;;) counters[number][0]++;
}

static void do_nothing(unsigned number) { (void)number; }
static void end_by_reset(unsigned number) { if (number == cpu_count - 1) machine_reset(); }
static void end_by_power_off(unsigned number) { if (number == cpu_count - 1) machine_power_off(); }
static void end_by_fault(unsigned number) { if (number == cpu_count - 1) machine_triple_fault(); }

static const struct {
  const char *name;
  void (*function)(unsigned number);
} others[] = {
    {"count", count},          {"reset", end_by_reset}, {"off", end_by_power_off},
    {"fault", end_by_fault},   {"park", do_nothing},
};

static void (*find_function(const char *name))(unsigned) {
  if (!name) return do_tasks;
  for (unsigned i = 0; i < sizeof others / sizeof *others; i++) {
    if (text_equals(name, others[i].name)) return others[i].function;
  }
  machine_panic("ap= is none of count, reset, off, fault, park");
}

void mode_smp(void) {
  const char *name = cmdline_value("ap", 0);
  cpu_count = (unsigned)cmdline_number("smp", 1);
  if (cpu_count < 1 || cpu_count > CPUS_MAX) machine_panic("smp= is not 1 to 32");
  bool came = check(cpus_start(cpu_count, find_function(name)));
  print("smp: %u CPUs %s, counters at 0x%lx\n", cpu_count, came ? "ok" : "FAILED",
        (uintptr_t)counters);
  if (!came) return;
  if (name) {
    if (text_equals(name, "park")) ring0_call(ring0_park, 0, 0, 0);
    /* The others end the machine, or somebody outside does. */
    count(0);
  }
  if (disk_count) {
    check_concurrent_reads();
    check_attack();
  }
  check_serial();
}
