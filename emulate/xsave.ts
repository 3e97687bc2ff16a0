/**
 * XSAVE, XSAVEOPT, XSAVEC, XSAVES, XRSTOR, XRSTORS, and MXCSR alone by LDMXCSR
 * and STMXCSR: the registers that
 * `KVM_GET_XSAVE` and `KVM_SET_XSAVE` know, in the layouts of Intel SDM vol. 1,
 * §13.4 to §13.12. Supervisor state is not among them: to the guest it is
 * always in its initial configuration.
 *
 * @module
 */
import { decodeCpuid } from "../ffi/kvm/cpuid2.ts";
import { OpcodeMap } from "./decode.ts";
import { generalProtection, invalidOpcode } from "./fault.ts";
import type { Instruction } from "./instruction.ts";
import { type StoppedCpu, toBigInt, toBytes } from "./stopped_cpu.ts";

/** Offsets in an XSAVE area; components from 2 on follow the header. */
export const XsaveArea = {
  MXCSR: 24,
  MXCSR_END: 32,
  XMM: 160,
  XMM_END: 416,
  XSTATE_BV: 512,
  XCOMP_BV: 520,
  HEADER_END: 576,
} as const;

const X87 = 1n << 0n;
const SSE = 1n << 1n;
const AVX = 1n << 2n;
const COMPACT = 1n << 63n;
const MXCSR_INITIAL = 0x1f80n;
const ALIGNMENT = 64;
const MSR_XSS = 0xda0;
const CR4_OSXSAVE = 1n << 18n;
const RAX = 0;
const RDX = 2;

/** Where a component from 2 on is: CPUID leaf 0xD. */
export interface Component {
  /** Its number: a bit in XCR0. */
  readonly index: number;
  /** Bytes. */
  readonly size: number;
  /** Offset in the standard format. */
  readonly offset: number;
  /** Starts at a multiple of 64 bytes in the compacted format. */
  readonly aligned: boolean;
}

/** The components from 2 on that CPUID tells of, lowest first. */
export function componentsOf(cpuid: Uint8Array): Component[] {
  const LEAF = 0xd;
  const ECX_SUPERVISOR = 1;
  const ECX_ALIGNED = 2;
  return decodeCpuid(cpuid)
    .filter(({ leaf, subleaf, eax, ecx }) =>
      leaf === LEAF && subleaf >= 2 && eax > 0 && !(ecx & ECX_SUPERVISOR)
    )
    .map(({ subleaf, eax, ebx, ecx }) => ({
      index: subleaf,
      size: eax,
      offset: ebx,
      aligned: (ecx & ECX_ALIGNED) !== 0,
    }))
    .sort((a, b) => a.index - b.index);
}

/** A piece of state, in `KVM_GET_XSAVE`'s area and in the guest's. */
interface Piece {
  /** The bits of which one must be requested. */
  readonly when: bigint;
  readonly from: number;
  readonly to: number;
  readonly size: number;
}

/**
 * The pieces of an area.
 *
 * @param layout XCOMP_BV for the compacted format, undefined for the standard
 */
export function pieces(
  components: readonly Component[],
  layout: bigint | undefined,
): Piece[] {
  const { MXCSR, MXCSR_END, XMM, XMM_END, HEADER_END } = XsaveArea;
  const legacy = (when: bigint, start: number, end: number) => ({
    when,
    from: start,
    to: start,
    size: end - start,
  });
  const all = [
    legacy(X87, 0, MXCSR),
    legacy(X87, MXCSR_END, XMM),
    legacy(SSE, XMM, XMM_END),
  ];
  let at: number = HEADER_END;
  for (const { index, size, offset, aligned } of components) {
    const when = 1n << BigInt(index);
    if (layout !== undefined && !(layout & when)) continue;
    if (aligned) at = Math.ceil(at / ALIGNMENT) * ALIGNMENT;
    all.push({
      when,
      from: offset,
      to: layout === undefined ? offset : at,
      size,
    });
    at += size;
  }
  return all;
}

/** XINUSE: the components that are not in their initial configuration. */
export function inUse(area: Uint8Array): bigint {
  const { XSTATE_BV, XCOMP_BV } = XsaveArea;
  return toBigInt(area.subarray(XSTATE_BV, XCOMP_BV));
}

/** The state of a vCPU's extended registers, in the standard format. */
class State {
  readonly area: Uint8Array<ArrayBuffer>;
  readonly components: readonly Component[];
  readonly xcr0: bigint;
  readonly #cpu: StoppedCpu;

  constructor(cpu: StoppedCpu) {
    this.#cpu = cpu;
    if (!(cpu.sregs.control("cr4") & CR4_OSXSAVE)) throw invalidOpcode();
    if (cpu.address() % BigInt(ALIGNMENT) !== 0n) throw generalProtection();
    this.area = cpu.vcpu.getXsave();
    this.components = componentsOf(cpu.vcpu.getCpuid2());
    this.xcr0 = cpu.vcpu.getXcr0();
  }

  get inUse(): bigint {
    return inUse(this.area);
  }

  set inUse(bits: bigint) {
    this.area.set(toBytes(bits, 8), XsaveArea.XSTATE_BV);
  }

  get mxcsr(): bigint {
    return toBigInt(this.area.subarray(XsaveArea.MXCSR, XsaveArea.MXCSR + 4));
  }

  /** What EDX:EAX requests of what is enabled. */
  requested(enabled: bigint): bigint {
    const low = this.#cpu.register(RAX, 32);
    return (this.#cpu.register(RDX, 32) << 32n | low) & enabled;
  }

  /** With supervisor state, whose bits are in IA32_XSS. */
  get enabledWithSupervisor(): bigint {
    return this.xcr0 | (this.#cpu.vcpu.getMsr(MSR_XSS) ?? 0n);
  }

  slice(from: number, to: number): Uint8Array {
    return this.area.subarray(from, to);
  }
}

/** Writes pieces to the guest, after checking that all can be written. */
function save(
  cpu: StoppedCpu,
  state: State,
  requested: bigint,
  written: bigint,
  layout: bigint | undefined,
): void {
  const { MXCSR, MXCSR_END } = XsaveArea;
  const address = cpu.address();
  const parts = pieces(state.components, layout);
  const end = Math.max(...parts.map(({ to, size }) => to + size));
  const image = cpu.memory.read(address, Math.max(end, XsaveArea.HEADER_END));
  for (const { when, from, to, size } of parts) {
    if (written & when) image.set(state.slice(from, from + size), to);
  }
  // MXCSR goes with SSE, in the standard format with AVX as well.
  const withMxcsr = layout === undefined
    ? requested & (SSE | AVX)
    : written & SSE;
  if (withMxcsr) image.set(state.slice(MXCSR, MXCSR_END), MXCSR);
  if (layout === undefined) {
    const old = toBigInt(image.subarray(512, 520));
    const bits = old & ~requested | state.inUse & requested;
    image.set(toBytes(bits, 8), XsaveArea.XSTATE_BV);
  } else {
    image.set(toBytes(written, 8), XsaveArea.XSTATE_BV);
    image.set(toBytes(layout, 8), XsaveArea.XCOMP_BV);
  }
  cpu.memory.write(address, image);
}

function xsave(cpu: StoppedCpu): void {
  const state = new State(cpu);
  const requested = state.requested(state.xcr0);
  save(cpu, state, requested, requested, undefined);
}

function saveCompacted(cpu: StoppedCpu, state: State, enabled: bigint): void {
  const requested = state.requested(enabled);
  let inUse = state.inUse;
  if (state.mxcsr !== MXCSR_INITIAL) inUse |= SSE;
  save(cpu, state, requested, inUse & requested, requested | COMPACT);
}

function xsavec(cpu: StoppedCpu): void {
  const state = new State(cpu);
  saveCompacted(cpu, state, state.xcr0);
}

function xsaves(cpu: StoppedCpu): void {
  if (cpu.cpl !== 0) throw generalProtection();
  const state = new State(cpu);
  saveCompacted(cpu, state, state.enabledWithSupervisor);
}

/** §13.8 and §13.12. */
function restore(cpu: StoppedCpu, state: State, supervisor: boolean): void {
  const { MXCSR, MXCSR_END, HEADER_END } = XsaveArea;
  const address = cpu.address();
  const header = cpu.memory.read(address, HEADER_END);
  const present = toBigInt(header.subarray(512, 520));
  const layout = toBigInt(header.subarray(520, 528));
  const compact = (layout & COMPACT) !== 0n;
  const enabled = supervisor ? state.enabledWithSupervisor : state.xcr0;
  const reserved = header.subarray(528, compact ? HEADER_END : 536);
  const bad = supervisor && !compact ||
    (present & ~enabled) !== 0n ||
    reserved.some((byte) => byte !== 0) ||
    (compact
      ? (layout & ~COMPACT & ~enabled) !== 0n || (present & ~layout) !== 0n
      : layout !== 0n);
  if (bad) throw generalProtection();
  const requested = state.requested(enabled);
  const parts = pieces(state.components, compact ? layout : undefined);
  const end = Math.max(...parts.map(({ to, size }) => to + size));
  const image = cpu.memory.read(address, Math.max(end, HEADER_END));
  const loaded = requested & present;
  for (const { when, from, to, size } of parts) {
    if (loaded & when) state.area.set(image.subarray(to, to + size), from);
  }
  const withMxcsr = compact ? loaded & SSE : requested & (SSE | AVX);
  if (withMxcsr) state.area.set(image.subarray(MXCSR, MXCSR + 4), MXCSR);
  else if (compact && requested & SSE) {
    state.area.set(toBytes(MXCSR_INITIAL, 4), MXCSR);
  }
  if (state.mxcsr & ~toBigInt(state.slice(MXCSR + 4, MXCSR_END))) {
    throw generalProtection();
  }
  // KVM puts a component whose bit is 0 into its initial configuration.
  state.inUse = state.inUse & ~requested | loaded;
  cpu.vcpu.setXsave(state.area);
}

function xrstor(cpu: StoppedCpu): void {
  restore(cpu, new State(cpu), false);
}

function xrstors(cpu: StoppedCpu): void {
  if (cpu.cpl !== 0) throw generalProtection();
  restore(cpu, new State(cpu), true);
}

/** Bits of MXCSR that may be set: the mask that the CPU saves beside it. */
function loadMxcsr(cpu: StoppedCpu): void {
  const area = cpu.vcpu.getXsave();
  const { MXCSR, MXCSR_END } = XsaveArea;
  const value = cpu.load(4);
  const mask = toBigInt(area.subarray(MXCSR + 4, MXCSR_END));
  if (toBigInt(value) & ~mask) throw generalProtection();
  area.set(value, MXCSR);
  // KVM takes MXCSR from an area in which SSE or AVX is in use.
  area.set(toBytes(inUse(area) | SSE, 8), XsaveArea.XSTATE_BV);
  cpu.vcpu.setXsave(area);
}

function storeMxcsr(cpu: StoppedCpu): void {
  const { MXCSR } = XsaveArea;
  cpu.store(cpu.vcpu.getXsave().slice(MXCSR, MXCSR + 4));
}

function instruction(
  name: string,
  opcode: number,
  extension: number,
  execute: (cpu: StoppedCpu) => void,
): Instruction {
  const map = OpcodeMap.M0F;
  return { name, map, opcode, prefix: 0, extension, form: "memory", execute };
}

/** See the module's description. */
export const XSAVE: readonly Instruction[] = [
  instruction("LDMXCSR", 0xae, 2, loadMxcsr),
  instruction("STMXCSR", 0xae, 3, storeMxcsr),
  instruction("XSAVE", 0xae, 4, xsave),
  instruction("XRSTOR", 0xae, 5, xrstor),
  // XSAVEOPT may leave out what it need not write; it doesn't have to.
  instruction("XSAVEOPT", 0xae, 6, xsave),
  instruction("XRSTORS", 0xc7, 3, xrstors),
  instruction("XSAVEC", 0xc7, 4, xsavec),
  instruction("XSAVES", 0xc7, 5, xsaves),
];
