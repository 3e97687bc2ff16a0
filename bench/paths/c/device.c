/*
 * A block device that only knows GET_ID, over a split virtqueue. The registers
 * are plain storage: the payload is a driver that makes no mistakes.
 */
#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm.h"

enum { QUEUE_SIZE = 256, BLK_SECTORS = 2048, DESC_F_NEXT = 1, ID_SIZE = 20 };

struct descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags, next;
};
struct avail {
  uint16_t flags;
  _Atomic uint16_t index;
  uint16_t ring[];
};
struct used {
  uint16_t flags;
  _Atomic uint16_t index;
  struct {
    uint32_t id, length;
  } ring[];
};

static volatile uint32_t registers[WINDOW_SIZE / 4];
static _Atomic uint32_t interrupt_status;
static const struct machine *guest;
static bool polls;
static int doorbell, interrupt;
static uint16_t seen, done;

static uint32_t reg(uint32_t offset) { return registers[offset / 4]; }

uint32_t device_read(uint32_t offset) {
  switch (offset) {
    case REG_INTERRUPT_STATUS:
      return atomic_load(&interrupt_status);
    case REG_DEVICE_FEATURES:
      return reg(REG_DEVICE_FEATURES_SEL) == 1; /* VIRTIO_F_VERSION_1, bit 32 */
    default:
      return reg(offset);
  }
}

static void reset(void) {
  seen = done = 0;
  for (uint32_t offset = REG_QUEUE_NUM; offset < REG_CONFIG; offset += 4) {
    registers[offset / 4] = 0;
  }
}

void device_write(uint32_t offset, uint32_t value) {
  if (offset == REG_INTERRUPT_ACK) {
    atomic_fetch_and(&interrupt_status, ~value);
    return;
  }
  registers[offset / 4] = value;
  if (offset == REG_STATUS && value == 0) reset();
  /* A first bell, so that a polling thread learns where the queue is. */
  if (offset == REG_STATUS && value & STATUS_DRIVER_OK) eventfd_write(doorbell, 1);
}

static void *area(uint32_t low) { return guest->memory + reg(low); }

static void answer(struct descriptor *table, struct used *used, uint16_t head) {
  struct descriptor *data = &table[table[head].next];
  struct descriptor *status = &table[data->next];
  memcpy(guest->memory + data->address, "c peer", 6);
  guest->memory[status->address] = 0;
  used->ring[done % QUEUE_SIZE].id = head;
  used->ring[done % QUEUE_SIZE].length = ID_SIZE + 1;
  atomic_store(&used->index, ++done);
}

/* Answers what is there; true when there was something. */
static bool serve(void) {
  struct avail *avail = area(REG_QUEUE_DRIVER);
  struct used *used = area(REG_QUEUE_DEVICE);
  used->flags = polls; /* VIRTQ_USED_F_NO_NOTIFY */
  if (atomic_load(&avail->index) == seen) return false;
  while (atomic_load(&avail->index) != seen) {
    answer(area(REG_QUEUE_DESC), used, avail->ring[seen++ % QUEUE_SIZE]);
  }
  if (avail->flags & 1) return true; /* VIRTQ_AVAIL_F_NO_INTERRUPT */
  atomic_fetch_or(&interrupt_status, 1);
  eventfd_write(interrupt, 1);
  return true;
}

static void *device_thread(void *unused) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  require(epoll_ctl(epoll, EPOLL_CTL_ADD, doorbell, &event) == 0, "epoll_ctl");
  for (;;) {
    eventfd_t count;
    if (epoll_wait(epoll, &event, 1, -1) != 1) continue;
    eventfd_read(doorbell, &count);
    while (reg(REG_STATUS) & STATUS_DRIVER_OK) {
      if (!serve() && !polls) break;
    }
  }
  return unused;
}

void device_start(const struct machine *machine, bool polling) {
  guest = machine;
  polls = polling;
  registers[REG_MAGIC / 4] = 0x74726976;
  registers[REG_VERSION / 4] = 2;
  registers[REG_DEVICE_ID / 4] = 2;
  registers[REG_QUEUE_NUM_MAX / 4] = QUEUE_SIZE;
  registers[REG_CONFIG / 4] = BLK_SECTORS;
  doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  interrupt = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct kvm_ioeventfd bell = {
      .addr = WINDOW + REG_QUEUE_NOTIFY, .len = 4, .fd = doorbell,
      .flags = KVM_IOEVENTFD_FLAG_DATAMATCH};
  require(ioctl(machine->vm, KVM_IOEVENTFD, &bell) == 0, "KVM_IOEVENTFD");
  struct kvm_irqfd line = {.fd = (uint32_t)interrupt, .gsi = DEVICE_GSI};
  require(ioctl(machine->vm, KVM_IRQFD, &line) == 0, "KVM_IRQFD");
  pthread_t thread;
  require(pthread_create(&thread, 0, device_thread, 0) == 0, "pthread_create");
}
