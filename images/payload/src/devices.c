#include "devices.h"

#include "cmdline.h"
#include "machine.h"
#include "memory.h"
#include "serial.h"

struct blk *disks[VIRTIO_DEVICES_MAX];
struct net *networks[VIRTIO_DEVICES_MAX];
unsigned disk_count, network_count;

static const char *type_name(uint32_t device_id) {
  switch (device_id) {
    case VIRTIO_ID_NET: return "net";
    case VIRTIO_ID_BLOCK: return "blk";
    default: return "other";
  }
}

void devices_init(void) {
  virtio_discover();
  for (unsigned i = 0; i < virtio_device_count; i++) {
    struct virtio_device *device = &virtio_devices[i];
    print("virtio%u: %s (device id %u) at 0x%lx, GSI %u\n", i, type_name(device->device_id),
          device->device_id, device->base, device->gsi);
    if (device->device_id == VIRTIO_ID_BLOCK) {
      disks[disk_count] = blk_create(device, disk_count);
      disk_count++;
    } else if (device->device_id == VIRTIO_ID_NET) {
      networks[network_count] = net_create(device, network_count);
      network_count++;
    }
  }
}

bool disk_start(struct blk *blk, enum wait_mode wait) {
  bool started = check(blk_start(blk, wait));
  if (!started) print("blk%u: initialisation FAILED\n", blk->number);
  return started;
}

bool network_start(struct net *net, enum wait_mode wait) {
  bool started = check(net_start(net, wait));
  if (!started) print("net%u: initialisation FAILED\n", net->number);
  return started;
}

void check_interrupts(struct virtqueue *queue, const char *name, unsigned number) {
  if (check(queue->lost_interrupts == 0)) return;
  print("%s%u: %u interrupts lost FAILED\n", name, number, queue->lost_interrupts);
}

enum wait_mode chosen_wait(void) {
  const char *wait = cmdline_value("wait", 0);
  return wait && text_equals(wait, "irq") ? WAIT_INTERRUPTS : WAIT_POLLING;
}

const char *wait_name(enum wait_mode wait) {
  return wait == WAIT_POLLING ? "polling" : "interrupts";
}
