#include "features.h"

#include "cmdline.h"
#include "virtio_mmio.h"

uint64_t features_from_command_line(void) {
  return (cmdline_has("noevent") ? 0 : VIRTIO_F_EVENT_IDX) |
         (cmdline_has("noindirect") ? 0 : VIRTIO_F_INDIRECT_DESC) |
         (cmdline_has("nopacked") ? 0 : VIRTIO_F_RING_PACKED);
}
