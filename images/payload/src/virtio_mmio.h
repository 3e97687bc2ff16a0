/* virtio-mmio transport, driver side (virtio 1.2 §4.2), and device initialisation (§3.1). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "virtio_mmio_registers.h"

enum { VIRTIO_DEVICES_MAX = 32 };

/* §5: device types that we drive. */
enum { VIRTIO_ID_NET = 1, VIRTIO_ID_BLOCK = 2 };

/* §2.1: device status. */
enum {
  VIRTIO_STATUS_ACKNOWLEDGE = 1,
  VIRTIO_STATUS_DRIVER = 2,
  VIRTIO_STATUS_DRIVER_OK = 4,
  VIRTIO_STATUS_FEATURES_OK = 8,
  VIRTIO_STATUS_NEEDS_RESET = 64,
  VIRTIO_STATUS_FAILED = 128,
};

/* §6: features of every device, as bit masks. */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIRTIO_F_VERSION_1 (1ull << 32)
#define VIRTIO_F_RING_PACKED (1ull << 34)

struct virtio_device {
  uintptr_t base;
  uint32_t size, gsi;
  uint32_t device_id;
  uint64_t offered, features; /* by the device; negotiated */
  struct {
    uintptr_t common, isr, config, notify;
    uint32_t notify_multiplier;
    uintptr_t function; /* its configuration space */
    uint32_t msix;      /* the capability in it */
  } pci; /* where its structures are, when `common` is not 0 */
};

extern struct virtio_device virtio_devices[VIRTIO_DEVICES_MAX];
extern unsigned virtio_device_count;

/* Find the devices that `virtio_mmio.device=SIZE@ADDRESS:GSI` words announce. */
void virtio_discover(void);

uint32_t virtio_read(const struct virtio_device *device, uint32_t offset);
void virtio_write(const struct virtio_device *device, uint32_t offset, uint32_t value);

/* §3.1.1 steps 1 to 6. False when the device refuses VERSION_1 or our choice. */
bool virtio_negotiate(struct virtio_device *device, uint64_t wanted);

/* §3.1.1 step 8. */
void virtio_driver_ok(struct virtio_device *device);

/* §4.2.3.1, §2.4: write 0 and wait until the device has read as 0. */
bool virtio_reset(const struct virtio_device *device);

/* Device configuration, in the field's own width (§4.2.2.2). */
uint8_t virtio_config8(const struct virtio_device *device, uint32_t offset);
uint16_t virtio_config16(const struct virtio_device *device, uint32_t offset);
uint32_t virtio_config32(const struct virtio_device *device, uint32_t offset);
uint64_t virtio_config64(const struct virtio_device *device, uint32_t offset);
