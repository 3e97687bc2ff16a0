/**
 * A virtual CPU: `KVM_RUN` and its state. One method per ioctl, named after
 * it; numbers are sections of Documentation/virt/kvm/api.rst.
 *
 * @module
 */
import { Errno, errno, VireoError } from "../errno.ts";
import { closeFd } from "../file.ts";
import { _IO, _IOR, _IOW, _IOWR, ioctlBuffer } from "../ioctl.ts";
import { KVMIO } from "./api.ts";
import {
  decodeRegisters,
  encodeRegisters,
  type Registers,
  REGS_SIZE,
  SpecialRegisters,
  SREGS_SIZE,
} from "./registers.ts";
import { GuestDebug } from "./guest_debug.ts";
import { KvmRun } from "./run.ts";
import { KICK_SIGNAL } from "./kick.ts";
import { libc } from "../libc.ts";

const LAPIC_SIZE = 1024;
const FPU_SIZE = 416;
const EVENTS_SIZE = 64;
const XSAVE_SIZE = 4096;
const XCRS_SIZE = 392;

const KVM_RUN = _IO(KVMIO, 0x80);
const KVM_GET_REGS = _IOR(KVMIO, 0x81, REGS_SIZE);
const KVM_SET_REGS = _IOW(KVMIO, 0x82, REGS_SIZE);
const KVM_GET_SREGS = _IOR(KVMIO, 0x83, SREGS_SIZE);
const KVM_SET_SREGS = _IOW(KVMIO, 0x84, SREGS_SIZE);
const KVM_GET_MSRS = _IOWR(KVMIO, 0x88, 8);
const KVM_SET_MSRS = _IOW(KVMIO, 0x89, 8);
const KVM_SET_SIGNAL_MASK = _IOW(KVMIO, 0x8b, 4);
const KVM_SET_FPU = _IOW(KVMIO, 0x8d, FPU_SIZE);
const KVM_GET_LAPIC = _IOR(KVMIO, 0x8e, LAPIC_SIZE);
const KVM_SET_LAPIC = _IOW(KVMIO, 0x8f, LAPIC_SIZE);
const KVM_SET_CPUID2 = _IOW(KVMIO, 0x90, 8);
const KVM_GET_CPUID2 = _IOWR(KVMIO, 0x91, 8);
const KVM_GET_MP_STATE = _IOR(KVMIO, 0x98, 4);
const KVM_GET_TSC_KHZ = _IO(KVMIO, 0xa3);
const KVM_KVMCLOCK_CTRL = _IO(KVMIO, 0xad);
const KVM_GET_VCPU_EVENTS = _IOR(KVMIO, 0x9f, EVENTS_SIZE);
const KVM_SET_VCPU_EVENTS = _IOW(KVMIO, 0xa0, EVENTS_SIZE);
const KVM_GET_XSAVE = _IOR(KVMIO, 0xa4, XSAVE_SIZE);
const KVM_SET_XSAVE = _IOW(KVMIO, 0xa5, XSAVE_SIZE);
const KVM_GET_XCRS = _IOR(KVMIO, 0xa6, XCRS_SIZE);

/** `KVM_MP_STATE_*` (§4.38). */
export const MpState = { RUNNABLE: 0, UNINITIALIZED: 1, HALTED: 3 } as const;

/** A model-specific register's number and value. */
export type MsrValue = readonly [index: number, value: bigint];

/** A virtual CPU. It belongs to the thread that runs it. */
export class Vcpu {
  /** The vCPU's descriptor. */
  readonly fd: number;
  /** The page shared with KVM. */
  readonly run: KvmRun;
  /** Its breakpoints and step flag (§4.83). */
  readonly debug: GuestDebug;

  /**
   * Wraps a descriptor that `KVM_CREATE_VCPU` gave.
   *
   * @throws {SystemError} its `struct kvm_run` can't be mapped; the descriptor
   * is still the caller's
   */
  constructor(fd: number, runSize: number) {
    this.fd = fd;
    this.run = new KvmRun(fd, runSize);
    this.debug = new GuestDebug(fd);
  }

  /**
   * §4.10: runs the guest until an exit. Returns 0 (see
   * {@linkcode KvmRun.exitReason}) or an errno value: EINTR after a kick.
   */
  enter(): number {
    return libc.ioctl_pointer(this.fd, KVM_RUN, null) === 0 ? 0 : errno();
  }

  /** §4.11: general registers. */
  getRegs(): Registers {
    const regs = new DataView(new ArrayBuffer(REGS_SIZE));
    ioctlBuffer(this.fd, KVM_GET_REGS, regs, "KVM_GET_REGS");
    return decodeRegisters(regs);
  }

  /** §4.12: general registers; those left out become 0. */
  setRegs(registers: Partial<Registers>): void {
    const regs = new DataView(new ArrayBuffer(REGS_SIZE));
    encodeRegisters(regs, registers);
    ioctlBuffer(this.fd, KVM_SET_REGS, regs, "KVM_SET_REGS");
  }

  /** §4.13: segments, tables, control registers. */
  getSregs(): SpecialRegisters {
    const sregs = new SpecialRegisters();
    ioctlBuffer(this.fd, KVM_GET_SREGS, sregs.bytes, "KVM_GET_SREGS");
    return sregs;
  }

  /** §4.14: segments, tables, control registers. */
  setSregs(sregs: SpecialRegisters): void {
    ioctlBuffer(this.fd, KVM_SET_SREGS, sregs.bytes, "KVM_SET_SREGS");
  }

  /**
   * §4.19: model-specific registers.
   *
   * @throws {VireoError} KVM refuses one, which is named; those before it are
   * set
   */
  setMsrs(values: readonly MsrValue[]): void {
    const refused = values[this.#setMsrs(values)];
    if (refused === undefined) return;
    const [index, value] = refused.map((number) => number.toString(16));
    throw new VireoError(
      `KVM_SET_MSRS: KVM refuses the value 0x${value} for MSR 0x${index}`,
    );
  }

  /** §4.19: the same for one; false when KVM refuses it. */
  trySetMsr(index: number, value: bigint): boolean {
    return this.#setMsrs([[index, value]]) === 1;
  }

  /** How many were set: KVM stops at the first that it refuses. */
  #setMsrs(values: readonly MsrValue[]): number {
    const msrs = new DataView(new ArrayBuffer(8 + values.length * 16));
    msrs.setUint32(0, values.length, true);
    values.forEach(([index, value], i) => {
      msrs.setUint32(8 + i * 16, index, true);
      msrs.setBigUint64(16 + i * 16, value, true);
    });
    return ioctlBuffer(this.fd, KVM_SET_MSRS, msrs, "KVM_SET_MSRS");
  }

  /** §4.18: a model-specific register; undefined when KVM refuses it. */
  getMsr(index: number): bigint | undefined {
    const msrs = new DataView(new ArrayBuffer(8 + 16));
    msrs.setUint32(0, 1, true);
    msrs.setUint32(8, index, true);
    const count = ioctlBuffer(this.fd, KVM_GET_MSRS, msrs, "KVM_GET_MSRS");
    return count === 1 ? msrs.getBigUint64(16, true) : undefined;
  }

  /** §4.18: model-specific registers; those that KVM refuses are left out. */
  getMsrs(indices: readonly number[]): [index: number, value: bigint][] {
    const found: [number, bigint][] = [];
    for (let next = 0; next < indices.length;) {
      const rest = indices.slice(next);
      const msrs = new DataView(new ArrayBuffer(8 + rest.length * 16));
      msrs.setUint32(0, rest.length, true);
      rest.forEach((index, i) => msrs.setUint32(8 + i * 16, index, true));
      // It stops at the first that it refuses, and says how many came before.
      const count = ioctlBuffer(this.fd, KVM_GET_MSRS, msrs, "KVM_GET_MSRS");
      for (let i = 0; i < count; i++) {
        found.push([rest[i]!, msrs.getBigUint64(16 + i * 16, true)]);
      }
      next += count + 1;
    }
    return found;
  }

  /** §4.56: the TSC's frequency in kHz; 0 where KVM doesn't know it. */
  getTscKhz(): number {
    return Math.max(0, libc.ioctl_value(this.fd, KVM_GET_TSC_KHZ, 0n));
  }

  /**
   * §4.82: tells a guest with kvm-clock that it was paused, so that it takes
   * the time for no lockup. Any other guest isn't told.
   */
  kvmclockCtrl(): void {
    libc.ioctl_value(this.fd, KVM_KVMCLOCK_CTRL, 0n);
  }

  /** §4.21: only the kick signal may interrupt {@linkcode Vcpu.enter}. */
  setSignalMask(): void {
    // struct kvm_signal_mask: u32 len, then the kernel's 8-byte sigset_t of
    // blocked signals, here all but the kick.
    const mask = new DataView(new ArrayBuffer(12));
    mask.setUint32(0, 8, true);
    mask.setBigUint64(4, ~(1n << BigInt(KICK_SIGNAL - 1)), true);
    ioctlBuffer(this.fd, KVM_SET_SIGNAL_MASK, mask, "KVM_SET_SIGNAL_MASK");
  }

  /** §4.23: the floating point unit's control words after a reset. */
  setFpu(): void {
    const FCW = 128;
    const MXCSR = 408;
    const fpu = new DataView(new ArrayBuffer(FPU_SIZE));
    fpu.setUint16(FCW, 0x37f, true);
    fpu.setUint32(MXCSR, 0x1f80, true);
    ioctlBuffer(this.fd, KVM_SET_FPU, fpu, "KVM_SET_FPU");
  }

  /** §4.57: the local APIC's register page. */
  getLapic(): DataView<ArrayBuffer> {
    const lapic = new DataView(new ArrayBuffer(LAPIC_SIZE));
    ioctlBuffer(this.fd, KVM_GET_LAPIC, lapic, "KVM_GET_LAPIC");
    return lapic;
  }

  /** §4.58: the local APIC's register page. */
  setLapic(lapic: DataView<ArrayBuffer>): void {
    ioctlBuffer(this.fd, KVM_SET_LAPIC, lapic, "KVM_SET_LAPIC");
  }

  /** §4.20: what CPUID answers, as `struct kvm_cpuid2`. */
  setCpuid2(cpuid: Uint8Array<ArrayBuffer>): void {
    ioctlBuffer(this.fd, KVM_SET_CPUID2, cpuid, "KVM_SET_CPUID2");
  }

  /** §4.118: what {@linkcode setCpuid2} set, as KVM changed it. */
  getCpuid2(): Uint8Array<ArrayBuffer> {
    const MAX_ENTRIES = 256;
    const cpuid = new Uint8Array(8 + MAX_ENTRIES * 40);
    const view = new DataView(cpuid.buffer);
    view.setUint32(0, MAX_ENTRIES, true);
    ioctlBuffer(this.fd, KVM_GET_CPUID2, cpuid, "KVM_GET_CPUID2");
    return cpuid.slice(0, 8 + view.getUint32(0, true) * 40);
  }

  /** §4.42: the extended registers, in XSAVE's standard format. */
  getXsave(): Uint8Array<ArrayBuffer> {
    const area = new Uint8Array(XSAVE_SIZE);
    ioctlBuffer(this.fd, KVM_GET_XSAVE, area, "KVM_GET_XSAVE");
    return area;
  }

  /** §4.43: the extended registers, in XSAVE's standard format. */
  setXsave(area: Uint8Array<ArrayBuffer>): void {
    ioctlBuffer(this.fd, KVM_SET_XSAVE, area, "KVM_SET_XSAVE");
  }

  /** §4.44: XCR0, the enabled components of the extended registers. */
  getXcr0(): bigint {
    // struct kvm_xcrs: u32 nr_xcrs, flags; { u32 xcr, reserved; u64 value }[]
    const xcrs = new DataView(new ArrayBuffer(XCRS_SIZE));
    ioctlBuffer(this.fd, KVM_GET_XCRS, xcrs, "KVM_GET_XCRS");
    return xcrs.getUint32(0, true) === 0 ? 1n : xcrs.getBigUint64(16, true);
  }

  /** §4.38: one of {@linkcode MpState}. */
  getMpState(): number {
    const state = new Uint32Array(1);
    ioctlBuffer(this.fd, KVM_GET_MP_STATE, state, "KVM_GET_MP_STATE");
    return state[0]!;
  }

  /** §4.32: queues an exception, such as #BP (3), or #GP (13) with 0. */
  injectException(vector: number, errorCode?: number): void {
    const events = new Uint8Array(EVENTS_SIZE);
    ioctlBuffer(this.fd, KVM_GET_VCPU_EVENTS, events, "KVM_GET_VCPU_EVENTS");
    const INJECTED = 0;
    const NUMBER = 1;
    const HAS_ERROR_CODE = 2;
    events[INJECTED] = 1;
    events[NUMBER] = vector;
    events[HAS_ERROR_CODE] = errorCode === undefined ? 0 : 1;
    const ERROR_CODE = 4;
    new DataView(events.buffer).setUint32(ERROR_CODE, errorCode ?? 0, true);
    ioctlBuffer(this.fd, KVM_SET_VCPU_EVENTS, events, "KVM_SET_VCPU_EVENTS");
  }

  /** Unmaps `struct kvm_run` and closes the vCPU. */
  close(): void {
    this.run.unmap();
    closeFd(this.fd);
  }

  /** `using` support. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** True when `code` says that {@linkcode Vcpu.enter} was kicked. */
export function wasKicked(code: number): boolean {
  return code === Errno.EINTR || code === Errno.EAGAIN;
}
