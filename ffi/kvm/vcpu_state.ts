/**
 * All that KVM knows of a vCPU, as plain data: to be saved, and to be given to
 * another one. Numbers are sections of Documentation/virt/kvm/api.rst.
 *
 * @module
 */
import { SystemError } from "../errno.ts";
import { _IOR, _IOW, ioctlBuffer } from "../ioctl.ts";
import { KVMIO } from "./api.ts";
import { type Registers, SpecialRegisters, SREGS_SIZE } from "./registers.ts";
import { type Vcpu, wasKicked } from "./vcpu.ts";

/** A structure of KVM's, and the two ioctls for it. */
interface Struct {
  readonly size: number;
  readonly get: number;
  readonly set: number;
}

function struct(size: number, get: number, set: number): Struct {
  return { size, get: _IOR(KVMIO, get, size), set: _IOW(KVMIO, set, size) };
}

/** Structures that are kept as KVM has them; names are fields of the state. */
const OPAQUE = {
  /** §4.44, §4.45: XCR0. */
  xcrs: struct(392, 0xa6, 0xa7),
  /** §4.42, §4.43: FPU, SSE, AVX and so on. KVM_GET_FPU would lose MXCSR. */
  xsave: struct(4096, 0xa4, 0xa5),
  /** §4.33, §4.34: DR0 to DR7. */
  debugRegisters: struct(128, 0xa1, 0xa2),
  /** §4.57, §4.58: the local APIC's page. */
  lapic: struct(1024, 0x8e, 0x8f),
  /** §4.31, §4.32: exceptions, interrupts and NMIs that are pending. */
  events: struct(64, 0x9f, 0xa0),
} as const;

const KVM_SET_MSRS = _IOW(KVMIO, 0x89, 8);
const KVM_SET_MP_STATE = _IOW(KVMIO, 0x99, 4);

/** Offset in `struct kvm_run`. */
const IMMEDIATE_EXIT = 1;
const IA32_TIME_STAMP_COUNTER = 0x10;
/** The local APIC's timer, where it is a deadline. */
const IA32_TSC_DEADLINE = 0x6e0;

/** One vCPU. */
export interface VcpuState {
  /** What CPUID answers, as `struct kvm_cpuid2`. */
  cpuid: Uint8Array<ArrayBuffer>;
  /** `KVM_MP_STATE_*` (§4.38). */
  mpState: number;
  /** The general registers. */
  registers: Registers;
  /** Segments, tables, control registers: `struct kvm_sregs`. */
  sregs: Uint8Array<ArrayBuffer>;
  /** `struct kvm_xcrs`. */
  xcrs: Uint8Array<ArrayBuffer>;
  /** `struct kvm_xsave`. */
  xsave: Uint8Array<ArrayBuffer>;
  /** `struct kvm_debugregs`. */
  debugRegisters: Uint8Array<ArrayBuffer>;
  /** `struct kvm_lapic_state`. */
  lapic: Uint8Array<ArrayBuffer>;
  /** `struct kvm_vcpu_events`. */
  events: Uint8Array<ArrayBuffer>;
  /** Model-specific registers, by their numbers. */
  msrs: [index: number, value: bigint][];
}

/** Sizes in bytes of the opaque fields of {@linkcode VcpuState}. */
export const VCPU_STATE_SIZES: Readonly<Record<string, number>> = {
  sregs: SREGS_SIZE,
  ...Object.fromEntries(
    Object.entries(OPAQUE).map(([name, { size }]) => [name, size]),
  ),
};

function get(vcpu: Vcpu, name: keyof typeof OPAQUE): Uint8Array<ArrayBuffer> {
  const { size, get } = OPAQUE[name];
  const bytes = new Uint8Array(size);
  ioctlBuffer(vcpu.fd, get, bytes, `reading a vCPU's ${name}`);
  return bytes;
}

function set(
  vcpu: Vcpu,
  name: keyof typeof OPAQUE,
  bytes: Uint8Array<ArrayBuffer>,
): void {
  ioctlBuffer(vcpu.fd, OPAQUE[name].set, bytes, `setting a vCPU's ${name}`);
}

/**
 * Completes what the last exit left open. After a read from a device the value
 * waits in `struct kvm_run`, and the instruction is not done before the next
 * `KVM_RUN`; a read-modify-write exits once more, with its write, which
 * `answer` is for.
 *
 * @param answer answers the exit, as the vCPU's loop would
 */
export function completeExit(vcpu: Vcpu, answer: () => void): void {
  vcpu.run.u8[IMMEDIATE_EXIT] = 1; // §5: KVM_RUN returns before the guest runs
  try {
    for (;;) {
      const code = vcpu.enter();
      if (code === 0) answer();
      else if (wasKicked(code)) return;
      else throw new SystemError("KVM_RUN", code);
    }
  } finally {
    vcpu.run.u8[IMMEDIATE_EXIT] = 0;
  }
}

/**
 * Reads a vCPU that is not in `KVM_RUN`, and whose last exit is complete.
 *
 * @param msrs numbers of the MSRs to save; what this KVM doesn't know of them
 *   is left out
 */
export function saveVcpu(vcpu: Vcpu, msrs: readonly number[]): VcpuState {
  return {
    cpuid: vcpu.getCpuid2(),
    mpState: vcpu.getMpState(),
    registers: vcpu.getRegs(),
    sregs: vcpu.getSregs().bytes,
    xcrs: get(vcpu, "xcrs"),
    xsave: get(vcpu, "xsave"),
    debugRegisters: get(vcpu, "debugRegisters"),
    lapic: get(vcpu, "lapic"),
    events: get(vcpu, "events"),
    msrs: vcpu.getMsrs(msrs),
  };
}

/**
 * Makes a vCPU that has not run yet what `state` says. The order is what KVM
 * needs: CPUID decides which registers there are, XCR0 what an XSAVE area may
 * have, and the deadline is lost unless the local APIC's timer is there.
 *
 * Not every KVM lets a TSC be set, and this host's may be less than the saved
 * one: the deadline stays as far away as it was.
 *
 * @throws {SystemError} KVM refuses a part of it
 */
export function restoreVcpu(vcpu: Vcpu, state: VcpuState): void {
  vcpu.setCpuid2(state.cpuid);
  setMpState(vcpu, state.mpState);
  vcpu.setRegs(state.registers);
  const sregs = new SpecialRegisters();
  sregs.bytes.set(state.sregs);
  vcpu.setSregs(sregs);
  set(vcpu, "xcrs", state.xcrs);
  set(vcpu, "xsave", state.xsave);
  set(vcpu, "debugRegisters", state.debugRegisters);
  set(vcpu, "lapic", state.lapic);
  const isDeadline = ([index]: [number, bigint]) => index === IA32_TSC_DEADLINE;
  vcpu.setMsrs(state.msrs.filter((msr) => !isDeadline(msr)));
  const deadline = state.msrs.find(isDeadline)?.[1] ?? 0n;
  if (deadline !== 0n) setDeadline(vcpu, state, deadline);
  set(vcpu, "events", state.events);
}

/** It stays as far away as it was; 0: there is none. */
function setDeadline(vcpu: Vcpu, state: VcpuState, deadline: bigint): void {
  const moved = deadline === 0n ? 0n : deadline + sinceSaved(vcpu, state);
  const passed = deadline !== 0n && moved <= 0n;
  vcpu.setMsrs([[IA32_TSC_DEADLINE, passed ? 1n : moved]]);
}

/**
 * A vCPU that has run goes back to `state`, time and again: what is the same
 * each time is encoded once, and CPUID, which can't have changed, is left out.
 *
 * @returns does it; the last exit is complete
 */
export function vcpuResetter(vcpu: Vcpu, state: VcpuState): () => void {
  const sregs = new SpecialRegisters();
  sregs.bytes.set(state.sregs);
  const isDeadline = ([index]: [number, bigint]) => index === IA32_TSC_DEADLINE;
  const values = state.msrs.filter((msr) => !isDeadline(msr));
  const msrs = new DataView(new ArrayBuffer(8 + values.length * 16));
  msrs.setUint32(0, values.length, true);
  values.forEach(([index, value], i) => {
    msrs.setUint32(8 + i * 16, index, true);
    msrs.setBigUint64(16 + i * 16, value, true);
  });
  const deadline = state.msrs.find(isDeadline)?.[1] ?? 0n;
  return () => {
    setMpState(vcpu, state.mpState);
    vcpu.setRegs(state.registers);
    vcpu.setSregs(sregs);
    set(vcpu, "xcrs", state.xcrs);
    set(vcpu, "xsave", state.xsave);
    set(vcpu, "debugRegisters", state.debugRegisters);
    set(vcpu, "lapic", state.lapic);
    ioctlBuffer(vcpu.fd, KVM_SET_MSRS, msrs, "KVM_SET_MSRS");
    setDeadline(vcpu, state, deadline);
    set(vcpu, "events", state.events);
  };
}

/** By how much the TSC is more than it was. */
function sinceSaved(vcpu: Vcpu, { msrs }: VcpuState): bigint {
  const saved = msrs.find(([index]) => index === IA32_TIME_STAMP_COUNTER);
  const now = vcpu.getMsr(IA32_TIME_STAMP_COUNTER);
  return saved && now !== undefined ? now - saved[1] : 0n;
}

/** §4.39. */
function setMpState(vcpu: Vcpu, state: number): void {
  const word = new Uint32Array([state]);
  ioctlBuffer(vcpu.fd, KVM_SET_MP_STATE, word, "KVM_SET_MP_STATE");
}
