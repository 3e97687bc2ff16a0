/**
 * Steps and breakpoints in a guest's programs, where KVM emulates its kernel and
 * lets programs run on the CPU: there, KVM's own neither step nor stop them.
 *
 * A step sets RFLAGS.TF, a breakpoint is an INT3 in memory. Both raise an
 * exception in the guest, whose handler is the kernel's, where KVM's breakpoints
 * work: one stops in front of it. Then the exception is undone, and never was.
 *
 * There, SYSCALL only jumps: to its entry, LSTAR, but still at CPL3, where the
 * next fetch is a page fault, by which the kernel knows it. No breakpoint stops
 * at the entry, and the kernel throws a TF away that is set there. So one stops
 * in front of the page fault's handler for both.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { Segment } from "../../ffi/kvm/registers.ts";
import { Msr } from "../../ffi/kvm/msr.ts";
import type { MachineView } from "./machine_view.ts";
import type { VcpuView } from "./vcpu_view.ts";

/** Exceptions (SDM vol. 3, table 6-1). */
const Vector = { DEBUG: 1, BREAKPOINT: 3, PAGE_FAULT: 14 } as const;
const GATE_SIZE = 16;
const GATE_PRESENT = 0x80;
const INT3 = 0xcc;
const IRETQ = [0x48, 0xcf];
const RFLAGS_TF = 1n << 8n;
/** Which a fault pushes set, so that its instruction's breakpoint rests. */
const RFLAGS_RF = 1n << 16n;
const USER = 3;

/** What an exception without an error code pushes, in words from RSP on. */
const Frame = { RIP: 0, CS: 1, RFLAGS: 2, RSP: 3, SS: 4, WORDS: 5 } as const;

/** What a page fault pushes besides, in bytes. */
const ERROR_CODE = 8n;

/** A breakpoint in memory. */
interface Planted {
  physical: number;
  /** What was there. */
  byte: number;
}

/** What a stop in front of a handler was. */
export type ProgramStop =
  /** A program has made its step, or is in front of its breakpoint. */
  | "stop"
  /** It was a step that nobody waits for any more: on. */
  | "on"
  /** It is the guest's own exception: the handler is to run. */
  | "guest's"
  /** It is at no handler. */
  | undefined;

/** Of one machine. */
export class ProgramDebug {
  readonly #planted = new Map<bigint, Planted>();
  /** TF is set in so many programs' flags, be it in a frame of the kernel's. */
  #flags = 0;
  #waited = false;
  /** vCPUs that step from the entry of system calls into the kernel. */
  readonly #entering = new Set<number>();
  readonly #breaksAt: (address: bigint) => boolean;

  /**
   * None so far.
   *
   * @param breaksAt whether there is a breakpoint that isn't in memory
   */
  constructor(breaksAt: (address: bigint) => boolean) {
    this.#breaksAt = breaksAt;
  }

  /** A step is on its way: its exception must not reach the guest. */
  get busy(): boolean {
    return this.#flags > 0;
  }

  /** True when this address is a program's, as far as a vCPU maps it. */
  isProgram(view: MachineView, address: bigint): boolean {
    return ofProgram(view, address) !== undefined;
  }

  /** Puts a breakpoint into a program's memory. */
  plant(view: MachineView, address: bigint): void {
    const physical = ofProgram(view, address);
    if (physical === undefined || this.#planted.has(address)) return;
    const place = view.memory.bytes(physical, 1);
    this.#planted.set(address, { physical, byte: place[0]! });
    place[0] = INT3;
  }

  /** Takes it out again; false: there is none. */
  takeOut(view: MachineView, address: bigint): boolean {
    const planted = this.#planted.get(address);
    if (planted === undefined) return false;
    this.#planted.delete(address);
    const place = view.memory.bytes(planted.physical, 1);
    // The guest may have put something else there.
    if (place[0] === INT3) place[0] = planted.byte;
    return true;
  }

  /**
   * Undoes what vCPUs have come to besides: they come to it again, unless it is
   * taken out.
   *
   * @param but a vCPU whose stop is told
   */
  settle({ vcpus }: MachineView, but?: VcpuView): void {
    for (const vcpu of vcpus) {
      if (vcpu === but) continue;
      const frame = this.#entryFault(vcpu);
      if (typeof frame === "object") undo(vcpu, frame);
      else this.stopped(vcpu);
    }
  }

  /** Takes them all out, and steps that a vCPU has not begun. */
  takeAllOut(view: MachineView): void {
    this.settle(view);
    for (const address of [...this.#planted.keys()]) {
      this.takeOut(view, address);
    }
    this.stopWaiting(view);
  }

  /**
   * Has the program on a vCPU stop after its next instruction; from a system
   * call's entry, in front of the page fault's handler.
   *
   * @throws {VireoError} the guest has no handler to stop at
   */
  step(vcpu: VcpuView): void {
    if (vcpu.registers.rip === entryOf(vcpu)) {
      this.#entering.add(vcpu.id);
      return;
    }
    if (handler(vcpu, Vector.DEBUG) === undefined) {
      throw new VireoError("the guest has no handler for #DB: no steps");
    }
    const { rflags } = vcpu.registers;
    if (!(rflags & RFLAGS_TF)) {
      vcpu.setRegisters({ rflags: rflags | RFLAGS_TF });
      this.#flags++;
    }
    this.#waited = true;
  }

  /**
   * Carries out the kernel's IRETQ to a program, if that is what the vCPU is in
   * front of: KVM's step would end only at the kernel's next instruction.
   */
  returnTo(vcpu: VcpuView): boolean {
    const [first, second] = vcpu.read(vcpu.registers.rip, IRETQ.length);
    if (first !== IRETQ[0] || second !== IRETQ[1]) return false;
    const frame = frameOf(vcpu);
    if (frame === undefined || (frame[Frame.CS]! & 3n) !== 3n) return false;
    undo(vcpu, frame);
    return true;
  }

  /** Nobody waits for steps any more; those that are on their way go on. */
  stopWaiting({ vcpus }: MachineView): void {
    this.#waited = false;
    this.#entering.clear();
    for (const vcpu of vcpus) {
      const { rflags } = vcpu.registers;
      if (this.#flags === 0 || vcpu.cpl !== USER || !(rflags & RFLAGS_TF)) {
        continue;
      }
      vcpu.setRegisters({ rflags: rflags & ~RFLAGS_TF });
      this.#flags--;
    }
  }

  /** Where a vCPU has to stop for all this. */
  stops(vcpu: VcpuView): { address: bigint }[] {
    const vectors = [
      ...(this.#flags > 0 ? [Vector.DEBUG] : []),
      ...(this.#planted.size > 0 ? [Vector.BREAKPOINT] : []),
      ...(this.#stopsAtEntry(vcpu) ? [Vector.PAGE_FAULT] : []),
    ];
    return vectors.map((vector) => handler(vcpu, vector))
      .filter((address) => address !== undefined)
      .map((address) => ({ address }));
  }

  /** A vCPU has stopped: undoes the exception, if it is one of ours. */
  stopped(vcpu: VcpuView): ProgramStop {
    const { rip } = vcpu.registers;
    const fault = this.#entryFault(vcpu);
    if (fault !== undefined) {
      if (fault === "guest's") return fault;
      // A step has come to the handler, a breakpoint is at the entry.
      if (!this.#entering.delete(vcpu.id)) undo(vcpu, fault);
      return "stop";
    }
    const frame = frameOf(vcpu);
    if (frame === undefined) return undefined;
    if (this.#flags > 0 && rip === handler(vcpu, Vector.DEBUG)) {
      const fromUser = (frame[Frame.CS]! & 3n) === 3n;
      if (!fromUser || !this.#takeFlag(frame)) return "guest's";
      undo(vcpu, frame);
      const waited = this.#waited;
      this.#waited = false;
      return waited ? "stop" : "on";
    }
    if (this.#planted.size > 0 && rip === handler(vcpu, Vector.BREAKPOINT)) {
      const address = frame[Frame.RIP]! - 1n;
      if (!this.#planted.has(address)) return "guest's";
      frame[Frame.RIP] = address;
      // Behind a SYSCALL, a step comes to it with TF.
      this.#takeFlag(frame);
      undo(vcpu, frame);
      return "stop";
    }
    return undefined;
  }

  /** Takes a step's TF out of a program's flags, if it is there. */
  #takeFlag(frame: BigUint64Array): boolean {
    if (this.#flags === 0 || !(frame[Frame.RFLAGS]! & RFLAGS_TF)) return false;
    frame[Frame.RFLAGS]! &= ~RFLAGS_TF;
    this.#flags--;
    return true;
  }

  #stopsAtEntry(vcpu: VcpuView): boolean {
    return this.#entering.has(vcpu.id) || this.#breaksAt(entryOf(vcpu));
  }

  /**
   * The frame of a system call's page fault, if the vCPU is in front of its
   * handler and that is where one stops; "guest's": it is another page fault.
   */
  #entryFault(vcpu: VcpuView): BigUint64Array | "guest's" | undefined {
    if (!this.#stopsAtEntry(vcpu)) return undefined;
    if (vcpu.registers.rip !== handler(vcpu, Vector.PAGE_FAULT)) {
      return undefined;
    }
    const frame = frameOf(vcpu, ERROR_CODE);
    const entry = entryOf(vcpu);
    const isEntry = frame !== undefined && (frame[Frame.CS]! & 3n) === 3n &&
      frame[Frame.RIP] === entry && vcpu.special.control("cr2") === entry;
    if (!isEntry) return "guest's";
    frame[Frame.RFLAGS]! &= ~RFLAGS_RF;
    return frame;
  }
}

/** Where SYSCALL goes to; 0 before the kernel has said so. */
function entryOf(vcpu: VcpuView): bigint {
  return vcpu.vcpu.getMsr(Msr.LSTAR) ?? 0n;
}

/** The guest physical address of a program's; undefined: it is none. */
function ofProgram(
  { vcpus, memory }: MachineView,
  address: bigint,
): number | undefined {
  for (const vcpu of vcpus) {
    const { physical, user } = vcpu.walk(address);
    if (physical === undefined || !user) continue;
    if (vcpu.activity === "not started") continue;
    if (memory.find(physical, 1) !== undefined) return physical;
  }
  return undefined;
}

/** The offset in an IDT's gate (SDM vol. 3, figure 6-8), if there is one. */
function handler(vcpu: VcpuView, vector: number): bigint | undefined {
  const { base, limit } = vcpu.special.table("idt");
  const offset = vector * GATE_SIZE;
  if (offset + GATE_SIZE - 1 > limit) return undefined;
  const bytes = vcpu.read(base + BigInt(offset), GATE_SIZE);
  if (bytes.length < GATE_SIZE || !(bytes[5]! & GATE_PRESENT)) return undefined;
  const gate = new DataView(bytes.buffer, bytes.byteOffset);
  return BigInt(gate.getUint16(0, true)) |
    BigInt(gate.getUint16(6, true)) << 16n |
    BigInt(gate.getUint32(8, true)) << 32n;
}

/** What an exception has pushed, but for an error code of that many bytes. */
function frameOf(vcpu: VcpuView, errorCode = 0n): BigUint64Array | undefined {
  const at = vcpu.registers.rsp + errorCode;
  const bytes = vcpu.read(at, Frame.WORDS * 8);
  if (bytes.length < Frame.WORDS * 8) return undefined;
  return new BigUint64Array(bytes.slice().buffer);
}

/** The vCPU is where it was before its exception. */
function undo(vcpu: VcpuView, frame: BigUint64Array): void {
  const { special } = vcpu;
  special.setSegment("cs", segmentOf(vcpu, Number(frame[Frame.CS]!)));
  const ss = Number(frame[Frame.SS]!);
  // Null is a stack segment as well, in a 64-bit kernel.
  if (ss > 3) special.setSegment("ss", segmentOf(vcpu, ss));
  vcpu.vcpu.setSregs(special);
  vcpu.setRegisters({
    rip: frame[Frame.RIP]!,
    rflags: frame[Frame.RFLAGS]!,
    rsp: frame[Frame.RSP]!,
  });
}

/** A segment as its descriptor in the GDT has it (SDM vol. 3, figure 3-8). */
function segmentOf(vcpu: VcpuView, selector: number): Segment {
  const { base } = vcpu.special.table("gdt");
  const bytes = vcpu.read(base + BigInt(selector & 0xfff8), 8);
  if (bytes.length < 8) throw new VireoError("the guest's GDT is not in RAM");
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const low = view.getUint32(0, true);
  const high = view.getUint32(4, true);
  const bit = (at: number) => high >>> at & 1;
  const limit = low & 0xffff | high & 0xf_0000;
  const address = low >>> 16 | (high & 0xff) << 16 | high & 0xff00_0000;
  return {
    base: BigInt(address >>> 0),
    limit: bit(23) ? (limit << 12 | 0xfff) >>> 0 : limit,
    selector,
    type: high >>> 8 & 0xf | 1, // accessed
    present: bit(15),
    dpl: high >>> 13 & 3,
    db: bit(22),
    s: bit(12),
    l: bit(21),
    g: bit(23),
  };
}
