/* The 64-bit Linux boot protocol, as far as the payload needs it. */
#include <elf.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm.h"

enum {
  BOOT_PARAMS = 0x7000,
  PAGE_TABLES = 0x9000,
  COMMAND_LINE = 0x20000,
  E820_ENTRIES = 0x1e8,
  CMD_LINE_PTR = 0x228,
  E820_TABLE = 0x2d0,
  E820_RAM = 1,
};

static uint64_t load_elf(uint8_t *memory, const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  require(fd >= 0, path);
  struct stat info;
  require(fstat(fd, &info) == 0, path);
  const uint8_t *file = mmap(0, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  require(file != MAP_FAILED, path);
  const Elf64_Ehdr *header = (const void *)file;
  const Elf64_Phdr *segment = (const void *)(file + header->e_phoff);
  for (int i = 0; i < header->e_phnum; i++) {
    if (segment[i].p_type != PT_LOAD) continue;
    memcpy(memory + segment[i].p_paddr, file + segment[i].p_offset, segment[i].p_filesz);
  }
  return header->e_entry;
}

/* 4 GiB one to one: a PML4, a PDPT and four directories of 2 MiB pages. */
static void write_page_tables(uint8_t *memory) {
  uint64_t *table = (void *)(memory + PAGE_TABLES);
  table[0] = (PAGE_TABLES + 0x1000) | 3;
  for (uint64_t i = 0; i < 4; i++) table[512 + i] = (PAGE_TABLES + 0x2000 + i * 0x1000) | 3;
  for (uint64_t i = 0; i < 4 * 512; i++) table[1024 + i] = i << 21 | 0x83;
}

static void write_boot_params(uint8_t *memory, const char *words) {
  uint8_t *params = memory + BOOT_PARAMS;
  uint32_t command_line = COMMAND_LINE, type = E820_RAM;
  uint64_t start = 0x100000, size = MEMORY_SIZE - start;
  snprintf((char *)memory + COMMAND_LINE, 4096, "%s virtio_mmio.device=4K@0x%x:%d", words,
           WINDOW, DEVICE_GSI);
  memcpy(params + CMD_LINE_PTR, &command_line, 4);
  params[E820_ENTRIES] = 1;
  memcpy(params + E820_TABLE, &start, 8);
  memcpy(params + E820_TABLE + 8, &size, 8);
  memcpy(params + E820_TABLE + 16, &type, 4);
}

static void set_cpuid(int kvm, int vcpu) {
  enum { ENTRIES = 256 };
  struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + ENTRIES * sizeof *cpuid->entries);
  cpuid->nent = ENTRIES;
  require(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) == 0, "KVM_GET_SUPPORTED_CPUID");
  require(ioctl(vcpu, KVM_SET_CPUID2, cpuid) == 0, "KVM_SET_CPUID2");
  free(cpuid);
}

static void set_registers(int vcpu, uint64_t entry) {
  struct kvm_sregs sregs;
  require(ioctl(vcpu, KVM_GET_SREGS, &sregs) == 0, "KVM_GET_SREGS");
  struct kvm_segment data = {.limit = ~0u, .selector = 0x18, .type = 3, .present = 1,
                             .db = 1, .s = 1, .g = 1};
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
  sregs.cs = (struct kvm_segment){.limit = ~0u, .selector = 0x10, .type = 11, .present = 1,
                                  .s = 1, .l = 1, .g = 1};
  sregs.cr0 = 0x80010033; /* PG WP NE ET MP PE */
  sregs.cr3 = PAGE_TABLES;
  sregs.cr4 = 0x20;    /* PAE */
  sregs.efer = 0x500;  /* LMA LME */
  require(ioctl(vcpu, KVM_SET_SREGS, &sregs) == 0, "KVM_SET_SREGS");
  struct kvm_regs regs = {.rip = entry, .rsi = BOOT_PARAMS, .rsp = 0x8ff0, .rflags = 2};
  require(ioctl(vcpu, KVM_SET_REGS, &regs) == 0, "KVM_SET_REGS");
}

void machine_make(struct machine *machine, const char *payload, const char *words) {
  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  require(kvm >= 0, "/dev/kvm");
  machine->vm = ioctl(kvm, KVM_CREATE_VM, 0);
  require(machine->vm >= 0, "KVM_CREATE_VM");
  require(ioctl(machine->vm, KVM_SET_TSS_ADDR, 0xfffbd000) == 0, "KVM_SET_TSS_ADDR");
  require(ioctl(machine->vm, KVM_CREATE_IRQCHIP, 0) == 0, "KVM_CREATE_IRQCHIP");
  machine->memory = mmap(0, MEMORY_SIZE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  require(machine->memory != MAP_FAILED, "mmap");
  struct kvm_userspace_memory_region region = {
      .memory_size = MEMORY_SIZE, .userspace_addr = (uintptr_t)machine->memory};
  require(ioctl(machine->vm, KVM_SET_USER_MEMORY_REGION, &region) == 0, "memory region");
  uint64_t entry = load_elf(machine->memory, payload);
  write_page_tables(machine->memory);
  write_boot_params(machine->memory, words);
  machine->vcpu = ioctl(machine->vm, KVM_CREATE_VCPU, 0);
  require(machine->vcpu >= 0, "KVM_CREATE_VCPU");
  int run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  machine->run = mmap(0, (size_t)run_size, PROT_READ | PROT_WRITE, MAP_SHARED, machine->vcpu, 0);
  require(machine->run != MAP_FAILED, "mmap of kvm_run");
  set_cpuid(kvm, machine->vcpu);
  set_registers(machine->vcpu, entry);
}
