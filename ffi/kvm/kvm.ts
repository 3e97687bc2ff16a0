/**
 * `/dev/kvm`: the system, and the virtual machine. One method per ioctl,
 * named after it; numbers are sections of the kernel's
 * Documentation/virt/kvm/api.rst.
 *
 * @module
 */
import { Errno, errno, SystemError, VireoError } from "../errno.ts";
import { closeFd, cString, Open } from "../file.ts";
import { _IO, _IOW, _IOWR, ioctlBuffer, ioctlValue } from "../ioctl.ts";
import { KVMIO } from "./api.ts";
import { Cap, capName } from "./capabilities.ts";
import { Mapping } from "../memory/mmap.ts";
import { libc } from "../libc.ts";
import { Vcpu } from "./vcpu.ts";
import { VmEvents } from "./vm_events.ts";

/** `sizeof(struct kvm_msr_filter)`: flags, and 16 ranges. */
const MSR_FILTER_SIZE = 8 + 16 * 24;

const KVM_GET_API_VERSION = _IO(KVMIO, 0x00);
const KVM_CREATE_VM = _IO(KVMIO, 0x01);
const KVM_CHECK_EXTENSION = _IO(KVMIO, 0x03);
const KVM_GET_VCPU_MMAP_SIZE = _IO(KVMIO, 0x04);
const KVM_GET_SUPPORTED_CPUID = _IOWR(KVMIO, 0x05, 8);
const KVM_CREATE_VCPU = _IO(KVMIO, 0x41);
const KVM_SET_USER_MEMORY_REGION = _IOW(KVMIO, 0x46, 32);
const KVM_SET_TSS_ADDR = _IO(KVMIO, 0x47);
const KVM_SET_IDENTITY_MAP_ADDR = _IOW(KVMIO, 0x48, 8);
const KVM_CREATE_IRQCHIP = _IO(KVMIO, 0x60);
const KVM_REINJECT_CONTROL = _IO(KVMIO, 0x71);
const KVM_CREATE_PIT2 = _IOW(KVMIO, 0x77, 64);
const KVM_X86_SET_MSR_FILTER = _IOW(KVMIO, 0xc6, MSR_FILTER_SIZE);
const KVM_ENABLE_CAP = _IOW(KVMIO, 0xa3, 104);

function adviceOnOpen(code: number): string {
  return code === Errno.EACCES || code === Errno.EPERM
    ? 'KVM is needed: join its group (sudo usermod -aG kvm "$USER") and log ' +
      "in again, or run it as root"
    : "KVM is needed: load kvm_intel or kvm_amd, and switch virtualization " +
      "on in the firmware";
}

/** The system: `/dev/kvm` (§4.1 to §4.6). */
export class Kvm {
  /** The only version of the KVM API there is (§4.1). */
  static readonly API_VERSION = 12;
  /** The descriptor of `/dev/kvm`. */
  readonly fd: number;

  /**
   * Opens `/dev/kvm` and checks the API version.
   *
   * @throws {SystemError} when it can't be opened, with what to do
   */
  constructor(path = "/dev/kvm") {
    const fd = libc.open(cString(path), Open.RDWR | Open.CLOEXEC, 0);
    if (fd < 0) {
      const code = errno();
      throw new SystemError(`open ${path}`, code, adviceOnOpen(code));
    }
    this.fd = fd;
    const version = libc.ioctl_value(fd, KVM_GET_API_VERSION, 0n);
    if (version !== Kvm.API_VERSION) {
      closeFd(fd);
      throw new VireoError(`${path}: not KVM (API version ${version})`);
    }
  }

  /** §4.4: 0 when the extension is missing, else its value. */
  checkExtension(cap: number): number {
    return ioctlValue(this.fd, KVM_CHECK_EXTENSION, cap, "KVM_CHECK_EXTENSION");
  }

  /**
   * Whether KVM runs guests by VMX or SVM: only these have a state of nested
   * guests, whether nesting is on or not. An AMD host with a Linux before 5.8
   * says no as well.
   */
  get isHardwareAssisted(): boolean {
    return this.checkExtension(Cap.NESTED_STATE) > 0;
  }

  /**
   * The local APIC has a TSC deadline timer; `KVM_GET_SUPPORTED_CPUID` leaves
   * it to us to say so (§4.46).
   */
  get hasTscDeadlineTimer(): boolean {
    return this.checkExtension(Cap.TSC_DEADLINE_TIMER) > 0;
  }

  /** §4.5: bytes to map for `struct kvm_run`. */
  getVcpuMmapSize(): number {
    const operation = "KVM_GET_VCPU_MMAP_SIZE";
    return ioctlValue(this.fd, KVM_GET_VCPU_MMAP_SIZE, 0, operation);
  }

  /** §4.46: `struct kvm_cpuid2` with what KVM and this CPU can offer. */
  getSupportedCpuid(): Uint8Array<ArrayBuffer> {
    const MAX_ENTRIES = 256;
    const cpuid = new Uint8Array(8 + MAX_ENTRIES * 40);
    const view = new DataView(cpuid.buffer);
    view.setUint32(0, MAX_ENTRIES, true);
    const operation = "KVM_GET_SUPPORTED_CPUID";
    ioctlBuffer(this.fd, KVM_GET_SUPPORTED_CPUID, cpuid, operation);
    return cpuid.slice(0, 8 + view.getUint32(0, true) * 40);
  }

  /** §4.2: a virtual machine without memory or vCPUs. */
  createVm(): Vm {
    const runSize = this.getVcpuMmapSize();
    for (;;) {
      const fd = libc.ioctl_value(this.fd, KVM_CREATE_VM, 0n);
      if (fd >= 0) return new Vm(fd, runSize);
      const code = errno();
      // A signal of Deno's own can arrive while KVM allocates.
      if (code === Errno.EINTR) continue;
      const advice = "another hypervisor has this host's CPUs: end it";
      const busy = code === Errno.EBUSY;
      throw new SystemError("KVM_CREATE_VM", code, busy ? advice : undefined);
    }
  }

  /** Closes `/dev/kvm`; machines made from it live on. */
  close(): void {
    closeFd(this.fd);
  }

  /** `using` support. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** A virtual machine (§4.7 and on). */
export class Vm extends VmEvents {
  readonly #runSize: number;

  /** Wraps a descriptor that `KVM_CREATE_VM` gave. */
  constructor(fd: number, runSize: number) {
    super(fd);
    this.#runSize = runSize;
  }

  /** §4.7: a vCPU; `id` is its APIC id. */
  createVcpu(id: number): Vcpu {
    const fd = ioctlValue(this.fd, KVM_CREATE_VCPU, id, "KVM_CREATE_VCPU");
    try {
      return new Vcpu(fd, this.#runSize);
    } catch (error) {
      closeFd(fd);
      throw error;
    }
  }

  /**
   * §4.35: makes `size` bytes of this process at `hostAddress` the guest's
   * memory at `guestAddress`. `flags` may be `KVM_MEM_READONLY` (2).
   */
  setUserMemoryRegion(
    slot: number,
    guestAddress: number,
    size: number,
    hostAddress: number,
    flags = 0,
  ): void {
    const region = memoryRegion(slot, guestAddress, size, hostAddress, flags);
    const operation = "KVM_SET_USER_MEMORY_REGION";
    ioctlBuffer(this.fd, KVM_SET_USER_MEMORY_REGION, region, operation);
  }

  /**
   * The same of memory that a guest which may run already only reads: what it
   * writes there is still MMIO (`KVM_CAP_READONLY_MEM`). That waits for a grace
   * period of KVM's readers, some 7 ms, and holds nobody up; if it fails, reads
   * are MMIO, too.
   *
   * @returns disposing waits until that is so; the VM must not be closed before
   */
  addReadOnly(
    slot: number,
    guestAddress: number,
    size: number,
    hostAddress: number,
  ): AsyncDisposable {
    const READONLY = 2;
    const done = libc.ioctl_wait(
      this.fd,
      KVM_SET_USER_MEMORY_REGION,
      memoryRegion(slot, guestAddress, size, hostAddress, READONLY),
    );
    return { [Symbol.asyncDispose]: async () => void await done };
  }

  /** §4.36: three pages below 4 GiB that Intel hosts need. */
  setTssAddr(address: number): void {
    ioctlValue(this.fd, KVM_SET_TSS_ADDR, address, "KVM_SET_TSS_ADDR");
  }

  /** §4.40: one page below 4 GiB that Intel hosts need. */
  setIdentityMapAddr(address: number): void {
    const value = new BigUint64Array([BigInt(address)]);
    const operation = "KVM_SET_IDENTITY_MAP_ADDR";
    ioctlBuffer(this.fd, KVM_SET_IDENTITY_MAP_ADDR, value, operation);
  }

  /** §4.24: PIC, IOAPIC, and a LAPIC in every vCPU made afterwards. */
  createIrqchip(): void {
    ioctlValue(this.fd, KVM_CREATE_IRQCHIP, 0, "KVM_CREATE_IRQCHIP");
  }

  /**
   * §4.71: the i8254 timer, with port 0x61 as a dummy speaker. Ticks that the
   * guest was too slow for, or paused, don't come later, all at once.
   */
  createPit2(): void {
    const KVM_PIT_SPEAKER_DUMMY = 1;
    const config = new Uint8Array(64);
    config[0] = KVM_PIT_SPEAKER_DUMMY;
    ioctlBuffer(this.fd, KVM_CREATE_PIT2, config, "KVM_CREATE_PIT2");
  }

  /**
   * Ticks of the timer that come late are not made up for, where KVM can leave
   * them out (`KVM_CAP_REINJECT_CONTROL`). It waits for two grace periods of
   * the kernel's, 15 ms, and holds nobody up.
   *
   * @returns disposing waits until that is so; the VM must not be closed before
   */
  dropLateTicks(): AsyncDisposable {
    const done = this.#dropLateTicks();
    done.catch(() => {}); // thrown where it is awaited
    return { [Symbol.asyncDispose]: () => done };
  }

  async #dropLateTicks(): Promise<void> {
    if (this.checkExtension(Cap.REINJECT_CONTROL) === 0) return;
    const off = new Uint8Array(new ArrayBuffer(32)); // V8 moves small arrays
    if (await libc.ioctl_wait(this.fd, KVM_REINJECT_CONTROL, off) === 0) return;
    // Why is known in that thread only.
    ioctlBuffer(this.fd, KVM_REINJECT_CONTROL, off, "KVM_REINJECT_CONTROL");
  }

  /**
   * Takes the performance counters from the vCPUs that are made afterwards,
   * where KVM can (Linux 5.18, `KVM_CAP_PMU_CAPABILITY`): CPUID can't hide
   * those that every AMD CPU has.
   */
  disablePmu(): void {
    const KVM_PMU_CAP_DISABLE = 1;
    if (this.checkExtension(Cap.PMU_CAPABILITY) & KVM_PMU_CAP_DISABLE) {
      this.enableCap(Cap.PMU_CAPABILITY, BigInt(KVM_PMU_CAP_DISABLE));
    }
  }

  /** §4.37: switches an optional capability on. */
  enableCap(cap: number, argument: bigint): void {
    const enable = new DataView(new ArrayBuffer(104));
    enable.setUint32(0, cap, true);
    enable.setBigUint64(8, argument, true);
    const operation = `KVM_ENABLE_CAP ${capName(cap)}`;
    ioctlBuffer(this.fd, KVM_ENABLE_CAP, enable, operation);
  }

  /**
   * §8.37: what KVM's emulator refuses exits, with the instruction's bytes,
   * from Linux 5.15 on. Else a program at CPL3 gets #UD for it.
   */
  exitOnEmulationFailure(): void {
    if (this.checkExtension(Cap.EXIT_ON_EMULATION_FAILURE) === 0) return;
    this.enableCap(Cap.EXIT_ON_EMULATION_FAILURE, 1n);
  }

  /**
   * §4.97: the guest's WRMSR to `index` exits with `Exit.X86_WRMSR`. All other
   * accesses stay with KVM.
   *
   * @throws {SystemError} when KVM has no such filter
   */
  exitOnMsrWrite(index: number): void {
    const KVM_MSR_EXIT_REASON_FILTER = 4n;
    this.enableCap(Cap.X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER);
    const WRITE = 2;
    // One MSR, and its bit in the bitmap is 0: not allowed.
    using bitmap = new Mapping(4096, { name: "an MSR bitmap" });
    const filter = new DataView(new ArrayBuffer(MSR_FILTER_SIZE));
    filter.setUint32(8, WRITE, true);
    filter.setUint32(12, 1, true);
    filter.setUint32(16, index, true);
    filter.setBigUint64(24, BigInt(bitmap.address), true);
    const operation = "KVM_X86_SET_MSR_FILTER";
    ioctlBuffer(this.fd, KVM_X86_SET_MSR_FILTER, filter, operation);
  }

  /** §4.4, asked of this VM: some capabilities differ per VM. */
  checkExtension(cap: number): number {
    return ioctlValue(this.fd, KVM_CHECK_EXTENSION, cap, "KVM_CHECK_EXTENSION");
  }

  /** Closes the VM; KVM keeps it until its vCPUs are closed too. */
  close(): void {
    closeFd(this.fd);
  }

  /** `using` support. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** `struct kvm_userspace_memory_region`. */
function memoryRegion(
  slot: number,
  guestAddress: number,
  size: number,
  hostAddress: number,
  flags: number,
): Uint8Array<ArrayBuffer> {
  const region = new DataView(new ArrayBuffer(32));
  region.setUint32(0, slot, true);
  region.setUint32(4, flags, true);
  region.setBigUint64(8, BigInt(guestAddress), true);
  region.setBigUint64(16, BigInt(size), true);
  region.setBigUint64(24, BigInt(hostAddress), true);
  return new Uint8Array(region.buffer);
}
