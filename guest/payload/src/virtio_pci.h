/* virtio over PCI, driver side (virtio 1.2 §4.1): asked for by virtio-mmio's register offsets. */
#pragma once

#include "virtio_mmio.h"

/* Look for functions on bus 0, by ECAM. */
void virtio_pci_discover(void);

uint32_t virtio_pci_read(const struct virtio_device *device, uint32_t mmio_register);
void virtio_pci_write(const struct virtio_device *device, uint32_t mmio_register, uint32_t value);
