/* vmm PAYLOAD "WORDS" [poll]: the loop over KVM_RUN. */
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm.h"

enum { SERIAL_DATA = 0x3f8, SERIAL_LINE_STATUS = 0x3fd, TRANSMITTER_EMPTY = 0x60, I8042 = 0x64 };

void require(bool ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(1);
}

static void mmio_exit(struct kvm_run *run) {
  uint64_t offset = run->mmio.phys_addr - WINDOW;
  if (offset >= WINDOW_SIZE) return;
  uint32_t value = 0;
  if (run->mmio.is_write) {
    memcpy(&value, run->mmio.data, run->mmio.len & 7);
    device_write((uint32_t)offset, value);
  } else {
    value = device_read((uint32_t)offset);
    memcpy(run->mmio.data, &value, run->mmio.len & 7);
  }
}

/* False when the guest resets the machine. */
static bool io_exit(struct kvm_run *run) {
  uint8_t *data = (uint8_t *)run + run->io.data_offset;
  size_t bytes = (size_t)run->io.count * run->io.size;
  if (run->io.direction == KVM_EXIT_IO_IN) {
    memset(data, run->io.port == SERIAL_LINE_STATUS ? TRANSMITTER_EMPTY : 0, bytes);
  } else if (run->io.port == SERIAL_DATA) {
    require(write(STDOUT_FILENO, data, bytes) >= 0, "write");
  } else if (run->io.port == I8042) {
    return false;
  }
  return true;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  struct machine machine;
  machine_make(&machine, argv[1], argv[2]);
  device_start(&machine, argc > 3 && strcmp(argv[3], "poll") == 0);
  for (;;) {
    require(ioctl(machine.vcpu, KVM_RUN, 0) == 0, "KVM_RUN");
    switch (machine.run->exit_reason) {
      case KVM_EXIT_MMIO:
        mmio_exit(machine.run);
        break;
      case KVM_EXIT_IO:
        if (!io_exit(machine.run)) return 0;
        break;
      default:
        fprintf(stderr, "vmm: exit reason %u\n", machine.run->exit_reason);
        return 1;
    }
  }
}
