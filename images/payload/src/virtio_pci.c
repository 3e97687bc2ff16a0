#include "virtio_pci.h"

#include "interrupts.h"
#include "x86.h"

/* Where Vireo has it; a machine with virtio-mmio devices is not asked. */
#define ECAM 0xe0000000ul
#define ECAM_SHIFT 15 /* to function 0 of a device */

/* PCI Local Bus 3.0 §6.1 and §6.8.2 */
enum {
  PCI_VENDOR = 0x00,
  PCI_DEVICE = 0x02,
  PCI_COMMAND = 0x04,
  PCI_BAR0 = 0x10,
  PCI_CAPABILITIES = 0x34,
  PCI_INTERRUPT_LINE = 0x3c,
  PCI_DEVICES = 32,
};
enum { COMMAND_MEMORY = 1 << 1, COMMAND_MASTER = 1 << 2, COMMAND_NO_INTX = 1 << 10 };
enum { CAPABILITY_VENDOR = 9, CAPABILITY_MSIX = 17, CAPABILITIES_MAX = 48 };
enum { MSIX_ENABLE = 1 << 15, MSIX_ENTRY = 16, MSIX_VECTOR = 0 };

enum { VENDOR_HOST_BRIDGE = 0x8086, VENDOR_VIRTIO = 0x1af4, DEVICE_VIRTIO = 0x1040 };

/* §4.1.4: struct virtio_pci_cap */
enum { CAP_TYPE = 3, CAP_BAR = 4, CAP_OFFSET = 8, CAP_NOTIFY_MULTIPLIER = 16 };
enum { CFG_COMMON = 1, CFG_NOTIFY = 2, CFG_ISR = 3, CFG_DEVICE = 4 };

/* §4.1.4.3: struct virtio_pci_common_cfg */
enum {
  DEVICE_FEATURE_SELECT = 0x00,
  DEVICE_FEATURE = 0x04,
  DRIVER_FEATURE_SELECT = 0x08,
  DRIVER_FEATURE = 0x0c,
  CONFIG_MSIX_VECTOR = 0x10,
  DEVICE_STATUS = 0x14,
  CONFIG_GENERATION = 0x15,
  QUEUE_SELECT = 0x16,
  QUEUE_SIZE = 0x18,
  QUEUE_MSIX_VECTOR = 0x1a,
  QUEUE_ENABLE = 0x1c,
  QUEUE_DESC = 0x20,
  QUEUE_DRIVER = 0x28,
  QUEUE_DEVICE = 0x30,
};

static uint32_t config_read32(uintptr_t function, uint32_t offset) {
  return mmio_read32(function + offset);
}

static uintptr_t structure(uintptr_t function, uint32_t capability) {
  uint32_t bar = mmio_read8(function + capability + CAP_BAR);
  uintptr_t base = config_read32(function, PCI_BAR0 + 4 * bar) & ~15ul;
  return base + config_read32(function, capability + CAP_OFFSET);
}

static uintptr_t msix_table(uintptr_t function, uint32_t capability) {
  uint32_t location = config_read32(function, capability + 4);
  uintptr_t bar = config_read32(function, PCI_BAR0 + 4 * (location & 7)) & ~15ul;
  return bar + (location & ~7u);
}

/* All queues share vector 0, which arrives as the GSI's vector would. */
static void set_up_msix(uintptr_t function, uint32_t capability, uintptr_t table, uint32_t gsi) {
  uintptr_t entry = table + MSIX_VECTOR * MSIX_ENTRY;
  mmio_write32(entry, LAPIC_BASE);
  mmio_write32(entry + 4, 0);
  mmio_write32(entry + 8, VECTOR_DEVICES + gsi);
  mmio_write32(entry + 12, 0);
  mmio_write16(function + capability + 2, MSIX_ENABLE);
}

static void open_function(uintptr_t function) {
  mmio_write16(function + PCI_COMMAND, COMMAND_MEMORY | COMMAND_MASTER | COMMAND_NO_INTX);
}

void virtio_pci_restore(const struct virtio_device *device) {
  uintptr_t function = device->pci.function;
  mmio_write32(function + PCI_BAR0, (uint32_t)device->base);
  mmio_write32(function + PCI_BAR0 + 4, 0);
  open_function(function);
  /* Not where the BAR is now: the other CPU may be moving it. */
  set_up_msix(function, device->pci.msix, device->base + VIRTIO_PCI_MSIX_TABLE, device->gsi);
}

static void probe(uintptr_t function) {
  struct virtio_device *device = &virtio_devices[virtio_device_count];
  open_function(function);
  device->pci.function = function;
  device->gsi = mmio_read8(function + PCI_INTERRUPT_LINE);
  device->base = config_read32(function, PCI_BAR0) & ~15ul;
  uint32_t at = mmio_read8(function + PCI_CAPABILITIES);
  for (unsigned n = 0; at && n < CAPABILITIES_MAX; n++, at = mmio_read8(function + at + 1)) {
    uint8_t id = mmio_read8(function + at);
    if (id == CAPABILITY_MSIX) {
      device->pci.msix = at;
      set_up_msix(function, at, msix_table(function, at), device->gsi);
    }
    if (id != CAPABILITY_VENDOR) continue;
    switch (mmio_read8(function + at + CAP_TYPE)) {
      case CFG_COMMON: device->pci.common = structure(function, at); break;
      case CFG_ISR: device->pci.isr = structure(function, at); break;
      case CFG_DEVICE: device->pci.config = structure(function, at); break;
      case CFG_NOTIFY:
        device->pci.notify = structure(function, at);
        device->pci.notify_multiplier = config_read32(function, at + CAP_NOTIFY_MULTIPLIER);
        break;
    }
  }
  if (!device->pci.common || !device->pci.notify) return;
  device->device_id = mmio_read16(function + PCI_DEVICE) - DEVICE_VIRTIO;
  virtio_device_count++;
}

void virtio_pci_discover(void) {
  if (mmio_read16(ECAM + PCI_VENDOR) != VENDOR_HOST_BRIDGE) return;
  for (uintptr_t slot = 1; slot < PCI_DEVICES; slot++) {
    uintptr_t function = ECAM + (slot << ECAM_SHIFT);
    if (mmio_read16(function + PCI_VENDOR) != VENDOR_VIRTIO) continue;
    if (virtio_device_count < VIRTIO_DEVICES_MAX) probe(function);
  }
}

uint32_t virtio_pci_read(const struct virtio_device *device, uint32_t mmio_register) {
  uintptr_t common = device->pci.common;
  switch (mmio_register) {
    case VIRTIO_MMIO_DEVICE_FEATURES: return mmio_read32(common + DEVICE_FEATURE);
    case VIRTIO_MMIO_QUEUE_NUM_MAX: return mmio_read16(common + QUEUE_SIZE);
    case VIRTIO_MMIO_QUEUE_READY: return mmio_read16(common + QUEUE_ENABLE);
    case VIRTIO_MMIO_STATUS: return mmio_read8(common + DEVICE_STATUS);
    case VIRTIO_MMIO_CONFIG_GENERATION: return mmio_read8(common + CONFIG_GENERATION);
    case VIRTIO_MMIO_INTERRUPT_STATUS: return mmio_read8(device->pci.isr);
    default: return 0;
  }
}

static uint32_t address_field(uint32_t mmio_register) {
  uint32_t low = mmio_register & ~4u;
  uint32_t field = low == VIRTIO_MMIO_QUEUE_DESC_LOW     ? QUEUE_DESC
                   : low == VIRTIO_MMIO_QUEUE_DRIVER_LOW ? QUEUE_DRIVER
                                                         : QUEUE_DEVICE;
  return field + (mmio_register & 4);
}

void virtio_pci_write(const struct virtio_device *device, uint32_t mmio_register, uint32_t value) {
  uintptr_t common = device->pci.common;
  switch (mmio_register) {
    case VIRTIO_MMIO_QUEUE_NOTIFY:
      mmio_write16(device->pci.notify + value * device->pci.notify_multiplier, (uint16_t)value);
      break;
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
      mmio_write32(common + DEVICE_FEATURE_SELECT, value);
      break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
      mmio_write32(common + DRIVER_FEATURE_SELECT, value);
      break;
    case VIRTIO_MMIO_DRIVER_FEATURES: mmio_write32(common + DRIVER_FEATURE, value); break;
    case VIRTIO_MMIO_STATUS: mmio_write8(common + DEVICE_STATUS, (uint8_t)value); break;
    case VIRTIO_MMIO_QUEUE_SEL: mmio_write16(common + QUEUE_SELECT, (uint16_t)value); break;
    case VIRTIO_MMIO_QUEUE_NUM: mmio_write16(common + QUEUE_SIZE, (uint16_t)value); break;
    case VIRTIO_MMIO_QUEUE_READY:
      mmio_write16(common + QUEUE_MSIX_VECTOR, MSIX_VECTOR);
      mmio_write16(common + QUEUE_ENABLE, (uint16_t)value);
      break;
    default: mmio_write32(common + address_field(mmio_register), value); break;
  }
}
