/* virtio over PCI, driver side (virtio 1.2 §4.1): asked for by virtio-mmio's register offsets. */
#pragma once

#include "virtio_mmio.h"

/* Look for functions on bus 0, by ECAM. */
void virtio_pci_discover(void);

/* Where Vireo has a function's structures; for those who do wrong to them. */
enum {
  VIRTIO_PCI_COMMAND = 0x04,
  VIRTIO_PCI_BAR0 = 0x10,
  VIRTIO_PCI_COMMON_SIZE = 0x40,
  VIRTIO_PCI_MSIX_TABLE = 0x4000,
  VIRTIO_PCI_MSIX_PENDING = 0x5000,
  VIRTIO_PCI_BAR_SIZE = 0x8000,
};

/* Command register, BAR and MSI-X as they were found and set up. */
void virtio_pci_restore(const struct virtio_device *device);

uint32_t virtio_pci_read(const struct virtio_device *device, uint32_t mmio_register);
void virtio_pci_write(const struct virtio_device *device, uint32_t mmio_register, uint32_t value);
