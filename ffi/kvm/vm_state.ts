/**
 * All that KVM knows of a virtual machine beside its vCPUs and memory, as plain
 * data. Numbers are sections of Documentation/virt/kvm/api.rst.
 *
 * @module
 */
import { _IOR, _IOW, _IOWR, ioctlBuffer } from "../ioctl.ts";
import { KVMIO } from "./api.ts";
import { CLOCK_SIZE, getClock, setClock } from "./vm_clock.ts";
import { getIrqchip, Irqchip, IRQCHIP_SIZE, setIrqchip } from "./vm_events.ts";

const PIT_SIZE = 112;

const KVM_GET_MSR_INDEX_LIST = _IOWR(KVMIO, 0x02, 4);
const KVM_GET_PIT2 = _IOR(KVMIO, 0x9f, PIT_SIZE);
const KVM_SET_PIT2 = _IOW(KVMIO, 0xa0, PIT_SIZE);

/** Readable and settable, but not in KVM's own list. */
const MORE_MSRS = [
  0x1b, // IA32_APIC_BASE
  0x277, // IA32_PAT
  0x2ff, // IA32_MTRR_DEF_TYPE
  ...Array.from({ length: 16 }, (_, i) => 0x200 + i), // variable MTRRs
  ...[0x250, 0x258, 0x259], // fixed MTRRs
  ...Array.from({ length: 8 }, (_, i) => 0x268 + i),
  0xc0000080, // EFER
  ...[0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103], // bases, TSC_AUX
  0x6e0, // IA32_TSC_DEADLINE
];

/** Sizes in bytes of what {@linkcode VmState} has. */
export const VM_STATE_SIZES = {
  irqchip: IRQCHIP_SIZE,
  pit: PIT_SIZE,
  clock: CLOCK_SIZE,
} as const;

/** A machine's interrupt controllers, timer and clock. */
export interface VmState {
  /** `struct kvm_irqchip` of the PIC's halves and of the I/O APIC. */
  irqchips: Uint8Array<ArrayBuffer>[];
  /** `struct kvm_pit_state2`. */
  pit: Uint8Array<ArrayBuffer>;
  /** `struct kvm_clock_data`. */
  clock: Uint8Array<ArrayBuffer>;
}

/**
 * §4.3: the MSRs that a vCPU of this host has, and that are to be saved.
 *
 * @param kvmFd descriptor of `/dev/kvm`
 */
export function savedMsrs(kvmFd: number): number[] {
  const list = new Uint32Array(1 + 1024);
  list[0] = list.length - 1;
  ioctlBuffer(kvmFd, KVM_GET_MSR_INDEX_LIST, list, "KVM_GET_MSR_INDEX_LIST");
  const known = list.subarray(1, 1 + list[0]);
  return [...new Set([...known, ...MORE_MSRS])];
}

/** Reads the state; no vCPU may be in `KVM_RUN`. */
export function saveVm(vmFd: number): VmState {
  const pit = new Uint8Array(PIT_SIZE);
  ioctlBuffer(vmFd, KVM_GET_PIT2, pit, "KVM_GET_PIT2");
  const irqchips = Object.values(Irqchip).map((id) => getIrqchip(vmFd, id));
  return { irqchips, pit, clock: getClock(vmFd) };
}

/**
 * Sets the state of a machine that has not run.
 *
 * @param catchUp the guest's clock moves on by the time that has passed since
 *   the state was saved; else it stands where it stood
 */
export function restoreVm(
  vmFd: number,
  { irqchips, pit, clock }: VmState,
  catchUp = false,
): void {
  for (const irqchip of irqchips) setIrqchip(vmFd, irqchip);
  ioctlBuffer(vmFd, KVM_SET_PIT2, pit, "KVM_SET_PIT2");
  setClock(vmFd, clock, catchUp);
}
