/*
 * The smallest VMM in C that boots the payload: what the same paths cost
 * without TypeScript. One vCPU in the main thread, one virtio-mmio device that
 * answers GET_ID in a second thread, a serial port that only writes.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  MEMORY_SIZE = 64 << 20,
  WINDOW = 0xc0001000,
  WINDOW_SIZE = 0x1000,
  DEVICE_GSI = 5,
};

/* virtio-mmio registers (virtio 1.2, table 4.1) that are more than storage */
enum {
  REG_MAGIC = 0x000,
  REG_VERSION = 0x004,
  REG_DEVICE_ID = 0x008,
  REG_DEVICE_FEATURES = 0x010,
  REG_DEVICE_FEATURES_SEL = 0x014,
  REG_QUEUE_NUM_MAX = 0x034,
  REG_QUEUE_NUM = 0x038,
  REG_QUEUE_NOTIFY = 0x050,
  REG_INTERRUPT_STATUS = 0x060,
  REG_INTERRUPT_ACK = 0x064,
  REG_STATUS = 0x070,
  REG_QUEUE_DESC = 0x080,
  REG_QUEUE_DRIVER = 0x090,
  REG_QUEUE_DEVICE = 0x0a0,
  REG_CONFIG = 0x100,
};
enum { STATUS_DRIVER_OK = 4 };

/* Ends the program with the reason of `errno` when `ok` is false. */
void require(bool ok, const char *what);

/* machine.c: a VM with the payload in its memory and its vCPU at the entry. */
struct machine {
  uint8_t *memory;
  int vm, vcpu;
  struct kvm_run *run;
};
void machine_make(struct machine *machine, const char *payload, const char *words);

/* device.c: the window's registers and the thread behind the doorbell. */
void device_start(const struct machine *machine, bool polling);
uint32_t device_read(uint32_t offset);
void device_write(uint32_t offset, uint32_t value);
