#include "virtio_mmio.h"

#include "clock.h"
#include "cmdline.h"
#include "interrupts.h"
#include "machine.h"
#include "serial.h"
#include "virtio_pci.h"
#include "x86.h"

enum { MAGIC_VALUE = 0x74726976 /* "virt" */, VERSION = 2, RESET_TIMEOUT_US = 1000000 };

struct virtio_device virtio_devices[VIRTIO_DEVICES_MAX];
unsigned virtio_device_count;

uint32_t virtio_read(const struct virtio_device *device, uint32_t offset) {
  if (device->pci.common) return virtio_pci_read(device, offset);
  return mmio_read32(device->base + offset);
}

void virtio_write(const struct virtio_device *device, uint32_t offset, uint32_t value) {
  if (device->pci.common) return virtio_pci_write(device, offset, value);
  mmio_write32(device->base + offset, value);
}

/* SIZE@ADDRESS:GSI[:ID], as Linux's virtio_mmio.device parameter. */
static bool parse_device(const char *text, struct virtio_device *device) {
  device->size = (uint32_t)parse_number(&text);
  if (*text++ != '@') return false;
  device->base = parse_number(&text);
  if (*text++ != ':') return false;
  device->gsi = (uint32_t)parse_number(&text);
  return true;
}

static void probe(const char *text) {
  struct virtio_device *device = &virtio_devices[virtio_device_count];
  if (!check(parse_device(text, device))) {
    print("virtio: can't parse \"%s\"\n", text);
    return;
  }
  uint32_t magic = virtio_read(device, VIRTIO_MMIO_MAGIC_VALUE);
  uint32_t version = virtio_read(device, VIRTIO_MMIO_VERSION);
  if (!check(magic == MAGIC_VALUE && version == VERSION)) {
    print("virtio: 0x%lx: magic 0x%x, version %u\n", device->base, magic, version);
    return;
  }
  device->device_id = virtio_read(device, VIRTIO_MMIO_DEVICE_ID);
  if (device->device_id == 0) return; /* §4.2.2: a placeholder, to be ignored */
  interrupts_route(device->gsi, device->base);
  virtio_device_count++;
}

void virtio_discover(void) {
  const char *text;
  for (unsigned n = 0; (text = cmdline_value("virtio_mmio.device", n)); n++) {
    if (virtio_device_count < VIRTIO_DEVICES_MAX) probe(text);
  }
  if (virtio_device_count == 0) virtio_pci_discover();
}

bool virtio_reset(const struct virtio_device *device) {
  virtio_write(device, VIRTIO_MMIO_STATUS, 0);
  uint64_t deadline = clock_deadline(RESET_TIMEOUT_US);
  while (virtio_read(device, VIRTIO_MMIO_STATUS) != 0) {
    if (clock_passed(deadline)) return false;
  }
  return true;
}

static uint64_t offered_features(const struct virtio_device *device) {
  uint64_t features = 0;
  for (uint32_t word = 0; word < 2; word++) {
    virtio_write(device, VIRTIO_MMIO_DEVICE_FEATURES_SEL, word);
    features |= (uint64_t)virtio_read(device, VIRTIO_MMIO_DEVICE_FEATURES) << 32 * word;
  }
  return features;
}

static void accept_features(const struct virtio_device *device) {
  for (uint32_t word = 0; word < 2; word++) {
    virtio_write(device, VIRTIO_MMIO_DRIVER_FEATURES_SEL, word);
    virtio_write(device, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(device->features >> 32 * word));
  }
}

bool virtio_negotiate(struct virtio_device *device, uint64_t wanted) {
  if (!virtio_reset(device)) return false;
  uint32_t status = VIRTIO_STATUS_ACKNOWLEDGE;
  virtio_write(device, VIRTIO_MMIO_STATUS, status);
  status |= VIRTIO_STATUS_DRIVER;
  virtio_write(device, VIRTIO_MMIO_STATUS, status);
  device->offered = offered_features(device);
  device->features = device->offered & (wanted | VIRTIO_F_VERSION_1);
  accept_features(device);
  status |= VIRTIO_STATUS_FEATURES_OK;
  virtio_write(device, VIRTIO_MMIO_STATUS, status);
  bool accepted = virtio_read(device, VIRTIO_MMIO_STATUS) & VIRTIO_STATUS_FEATURES_OK;
  if (!accepted || !(device->features & VIRTIO_F_VERSION_1)) {
    virtio_write(device, VIRTIO_MMIO_STATUS, status | VIRTIO_STATUS_FAILED);
    return false;
  }
  return true;
}

void virtio_driver_ok(struct virtio_device *device) {
  virtio_write(device, VIRTIO_MMIO_STATUS,
               VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK |
                   VIRTIO_STATUS_DRIVER_OK);
}

static uintptr_t config_address(const struct virtio_device *device, uint32_t offset) {
  uintptr_t base = device->pci.common ? device->pci.config : device->base + VIRTIO_MMIO_CONFIG;
  return base + offset;
}

uint8_t virtio_config8(const struct virtio_device *device, uint32_t offset) {
  return mmio_read8(config_address(device, offset));
}

uint16_t virtio_config16(const struct virtio_device *device, uint32_t offset) {
  return mmio_read16(config_address(device, offset));
}

uint32_t virtio_config32(const struct virtio_device *device, uint32_t offset) {
  return mmio_read32(config_address(device, offset));
}

/* §2.5.1: wider than a register, so read again while the generation changes. */
uint64_t virtio_config64(const struct virtio_device *device, uint32_t offset) {
  for (;;) {
    uint32_t generation = virtio_read(device, VIRTIO_MMIO_CONFIG_GENERATION);
    uint64_t low = virtio_config32(device, offset);
    uint64_t high = virtio_config32(device, offset + 4);
    if (virtio_read(device, VIRTIO_MMIO_CONFIG_GENERATION) == generation) return low | high << 32;
  }
}
