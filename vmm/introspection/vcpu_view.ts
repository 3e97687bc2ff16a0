/**
 * A vCPU that is not in the guest: its registers, and memory as it sees it.
 *
 * @module
 */
import type { Registers, SpecialRegisters } from "../../ffi/kvm/registers.ts";
import { MpState, Vcpu } from "../../ffi/kvm/vcpu.ts";
import type { GuestMemory } from "../../guest/memory.ts";
import { type PageWalk, walkPages } from "../../guest/page_walk.ts";
import type { VcpuPart } from "../build.ts";

/** What a vCPU does when it isn't stopped. */
export type VcpuActivity = "runs" | "halted" | "not started";

/** One vCPU of a paused machine. */
export class VcpuView implements Disposable {
  /** Its number. */
  readonly id: number;
  readonly #start: VcpuPart["start"];
  readonly #memory: GuestMemory;
  #view: Vcpu | undefined;

  /** @internal The vCPU, whose thread is not in the guest. */
  constructor({ start }: VcpuPart, memory: GuestMemory) {
    this.id = start.id;
    this.#start = start;
    this.#memory = memory;
  }

  /** KVM's own calls for it. The descriptor is the vCPU's thread's. */
  get vcpu(): Vcpu {
    const { vcpuFd, runSize } = this.#start;
    return this.#view ??= new Vcpu(vcpuFd, runSize);
  }

  /** General registers, RIP, RFLAGS. */
  get registers(): Registers {
    return this.vcpu.getRegs();
  }

  /** Sets those that are given; the others stay. */
  setRegisters(changes: Partial<Registers>): void {
    this.vcpu.setRegs({ ...this.registers, ...changes });
  }

  /** Segments, tables, control registers. */
  get special(): SpecialRegisters {
    return this.vcpu.getSregs();
  }

  /** Its privilege level, 0 to 3. */
  get cpl(): number {
    return this.special.segment("ss").dpl;
  }

  /** What it does when it isn't stopped. */
  get activity(): VcpuActivity {
    const state = this.vcpu.getMpState();
    if (state === MpState.RUNNABLE) return "runs";
    return state === MpState.HALTED ? "halted" : "not started";
  }

  /** The way of a linear address through its page tables. */
  walk(linear: bigint): PageWalk {
    const { special } = this;
    return walkPages(this.#memory, {
      cr0: special.control("cr0"),
      cr3: special.control("cr3"),
      cr4: special.control("cr4"),
      efer: special.control("efer"),
    }, linear);
  }

  /**
   * Copies memory by linear address, as far as it is mapped to RAM: what comes
   * back may be shorter.
   */
  read(linear: bigint, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    let done = 0;
    this.#pieces(linear, length, (piece) => {
      bytes.set(piece, done);
      done += piece.length;
    });
    return bytes.subarray(0, done);
  }

  /**
   * Writes memory by linear address, whatever the page tables allow, as far as
   * it is mapped to RAM; returns how many bytes.
   */
  write(linear: bigint, bytes: Uint8Array): number {
    let done = 0;
    this.#pieces(linear, bytes.length, (piece) => {
      piece.set(bytes.subarray(done, done + piece.length));
      done += piece.length;
    });
    return done;
  }

  /** Each page's part of a range, in place, up to one that isn't in RAM. */
  #pieces(
    linear: bigint,
    length: number,
    take: (piece: Uint8Array) => void,
  ): void {
    for (let done = 0; done < length;) {
      const at = BigInt.asUintN(64, linear + BigInt(done));
      const { physical, pageSize } = this.walk(at);
      if (physical === undefined) return;
      const left = pageSize - physical % pageSize;
      const size = Math.min(left, length - done);
      if (this.#memory.find(physical, size) === undefined) return;
      take(this.#memory.bytes(physical, size));
      done += size;
    }
  }

  /** Gives up what it was looked at through. */
  [Symbol.dispose](): void {
    this.#view?.run.unmap();
  }
}
