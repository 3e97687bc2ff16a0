/* Storms on registers; see storm_registers.h. */
#include "storm_registers.h"

#include "random.h"
#include "virtio_pci.h"
#include "x86.h"

enum { RINGS = 32, ACCESSES = 64, REGISTERS_END = 0x200, NOTIFY_SIZE = 0x1000 };
enum { CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc };

static bool is_pci(const struct victim *victim) { return victim->device->pci.common; }

/* Where the doorbell of a queue is, or would be. */
static uintptr_t doorbell(const struct victim *victim, uint32_t queue) {
  const struct virtio_device *device = victim->device;
  if (!is_pci(victim)) return device->base + VIRTIO_MMIO_QUEUE_NOTIFY;
  return device->pci.notify + queue * device->pci.notify_multiplier % NOTIFY_SIZE;
}

static void write_width(uintptr_t address, uint64_t value, unsigned width) {
  switch (width & 3) {
    case 0: mmio_write8(address, (uint8_t)value); break;
    case 1: mmio_write16(address, (uint16_t)value); break;
    case 2: mmio_write32(address, (uint32_t)value); break;
    default: mmio_write64(address, value);
  }
}

static void read_width(uintptr_t address, unsigned width) {
  switch (width & 3) {
    case 0: mmio_read8(address); break;
    case 1: mmio_read16(address); break;
    case 2: mmio_read32(address); break;
    default: mmio_read64(address);
  }
}

void storm_doorbells(struct victim *victim, unsigned cpu) {
  static const uint32_t wrong[] = {2, 7, 0xff, 0xffff, 0x10000, 0x10001, 0x80000000, UINT32_MAX};
  for (unsigned i = 0; i < RINGS; i++) {
    uint64_t random = random_next();
    uint32_t number = wrong[random >> 8 & 7];
    switch (random & 7) {
      case 0: write_width(doorbell(victim, number), number, (unsigned)(random >> 16)); break;
      case 1: write_width(doorbell(victim, 0), 0, (unsigned)(random >> 16)); break;
      default: storm_ring(victim, cpu); continue;
    }
    storm_counts[cpu].doorbells++;
  }
}

/*
 * Small numbers, all ones and noise; never an address in RAM, where the device
 * would write what we did not mean.
 */
static uint64_t wild_value(void) {
  uint64_t random = random_next();
  switch (random >> 62) {
    case 0: return random & 15;
    case 1: return ~0ull;
    default: return (random & 0xbfffffffbfffffff) | 0x8000000080000000;
  }
}

/* No message may be one that a CPU takes for INIT or NMI: bit 0 harms nobody. */
static void access_bar(const struct victim *victim) {
  uint64_t random = random_next();
  uint32_t offset = (uint32_t)(random >> 8) % VIRTIO_PCI_BAR_SIZE;
  if (random & 0x80) offset %= VIRTIO_PCI_COMMON_SIZE;
  bool table = offset + 8 > VIRTIO_PCI_MSIX_TABLE && offset < VIRTIO_PCI_MSIX_PENDING;
  uintptr_t address = victim->device->base + offset;
  if (random & 1) {
    read_width(address, (unsigned)(random >> 1));
  } else {
    write_width(address, table ? random >> 40 & 1 : wild_value(), (unsigned)(random >> 1));
  }
}

/* Places for a BAR, but not where the other devices are. */
static uint32_t wild_base(const struct victim *victim) {
  uint64_t random = random_next();
  switch (random & 7) {
    case 0: return 0x00200000; /* RAM */
    case 1: return 0xfec00000; /* the IOAPIC */
    case 2: return 0xfee00000; /* the LAPIC */
    case 3: return 0xe0000000; /* ECAM */
    case 4: return 0xffffffff; /* how its size is asked for */
    case 5: return (uint32_t)victim->device->base;
    default: return (uint32_t)STORM_HOLE + (uint32_t)(random >> 8) % 256 * VIRTIO_PCI_BAR_SIZE;
  }
}

/* The configuration space, by ECAM or by ports. */
static void access_config(const struct victim *victim) {
  uint64_t random = random_next();
  uint32_t offset = (uint32_t)(random >> 8) & 0xff, width = (uint32_t)(random >> 1) % 3;
  uintptr_t function = victim->device->pci.function;
  bool bar = offset + 4 > VIRTIO_PCI_BAR0 && offset < VIRTIO_PCI_BAR0 + 8;
  if (random & 1) {
    if (random & 0x10) offset |= (uint32_t)(random >> 20) & 0xf00; /* behind its 256 bytes */
    read_width(function + offset, (unsigned)(random >> 1));
  } else if (bar) {
    mmio_write32(function + VIRTIO_PCI_BAR0, wild_base(victim));
    if (!(random & 0xf0)) mmio_write32(function + VIRTIO_PCI_BAR0 + 4, (uint32_t)wild_value());
  } else if (random & 0x10) {
    write_width(function + offset, wild_value(), width);
  } else {
    uint32_t devfn = (uint32_t)(function >> 12 & 0xff);
    out32(CONFIG_ADDRESS, 0x80000000 | devfn << 8 | (offset & 0xfc));
    if (random & 0x20) {
      in32(CONFIG_DATA);
    } else if (offset >= VIRTIO_PCI_BAR0 + 8) {
      /* The other CPU may have changed the address by now; not to a BAR's. */
      out8((uint16_t)(CONFIG_DATA + (offset & 3)), (uint8_t)wild_value());
    }
  }
}

static void access_window(const struct victim *victim) {
  const struct virtio_device *device = victim->device;
  uint64_t random = random_next();
  uint32_t offset = (uint32_t)(random >> 8) % device->size;
  if (random & 0xe0) offset %= REGISTERS_END;
  if (offset + 8 > device->size) offset = device->size - 8;
  if (random & 1) {
    read_width(device->base + offset, (unsigned)(random >> 1));
  } else {
    write_width(device->base + offset, wild_value(), (unsigned)(random >> 1));
  }
}

void storm_accesses(struct victim *victim, unsigned cpu) {
  for (unsigned i = 0; i < ACCESSES; i++) {
    if (!is_pci(victim)) {
      access_window(victim);
    } else if (random_next() & 3) {
      access_bar(victim);
    } else {
      access_config(victim);
    }
  }
  storm_counts[cpu].accesses += ACCESSES;
}

/* One change, and back; the driver on the other CPU goes on all the time. */
void storm_moves(struct victim *victim, unsigned cpu) {
  const struct virtio_device *device = victim->device;
  uintptr_t function = device->pci.function, control = function + device->pci.msix + 2;
  uintptr_t entry = device->base + VIRTIO_PCI_MSIX_TABLE;
  uint64_t random = random_next();
  switch (random & 7) {
    case 0:
    case 1: mmio_write32(function + VIRTIO_PCI_BAR0, wild_base(victim)); break;
    case 2: mmio_write16(function + VIRTIO_PCI_COMMAND, (uint16_t)(random >> 8 & 0x407)); break;
    case 3: mmio_write16(control, 0); break;
    case 4: mmio_write16(control, (uint16_t)(random >> 8 & 0xc000)); break;
    default:
      for (unsigned i = 0; i < 8; i++) mmio_write32(entry + 12, i & 1);
      storm_counts[cpu].accesses += 8;
      mmio_read32(device->base + VIRTIO_PCI_MSIX_PENDING);
  }
  storm_restore(victim);
  storm_counts[cpu].accesses += 8;
}

void storm_restore(const struct victim *victim) {
  if (is_pci(victim)) virtio_pci_restore(victim->device);
}
