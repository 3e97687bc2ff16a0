/**
 * Runs a machine step by step, and from stop to stop, for one debugger.
 *
 * A vCPU that comes to a breakpoint waits in its own thread until it is let go;
 * the whole machine is paused then. So whatever a debugger reads or sets, no
 * thread is in the guest.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import {
  canStepWithoutInterrupts,
  type GuestDebugSetting,
  type HardwareStop,
  setGuestDebug,
} from "../../ffi/kvm/guest_debug.ts";
import { Kvm } from "../../ffi/kvm/kvm.ts";
import { KvmRunOffset } from "../../ffi/kvm/run.ts";
import type { DebuggedMachine } from "./gdb.ts";
import type { MachineView } from "./machine_view.ts";
import type { VcpuView } from "./vcpu_view.ts";

/** What a vCPU is to do. */
export type Go = "run" | "step" | "wait";

/** Why a machine stands still. */
export type DebugStop =
  /** The debugger wished so, or somebody has paused it. */
  | { reason: "paused" }
  /** It came to a breakpoint, or has made a step. */
  | { reason: "stop"; vcpu: number }
  /** Data at `address` was written or accessed. */
  | { reason: "watch"; vcpu: number; stop: HardwareStop };

/** The breakpoints that a CPU has. */
const SLOTS = 4;
/** DR6's B0 to B3: which of DR0 to DR3 (SDM vol. 3, §18.2.3). */
const DR6_OFFSET = KvmRunOffset.union + 16;
const USER = 3;
const CR4_SMEP = 1n << 20n;
/** OUT and OUTS, with prefixes: the instruction as digits. */
const OUT = /^(?:66|67|f2|f3|4.)*(?:e6..|e7..|ee|ef|6e|6f)/;

/** One machine's debugger. */
export class Debugger implements Disposable {
  /** What stops the machine, at most four. */
  readonly #stops: HardwareStop[] = [];
  readonly #machine: DebuggedMachine;
  readonly #hooks: DisposableStack = new DisposableStack();
  readonly #assisted: boolean;
  readonly #stepping: true | "without interrupts";
  #stopped: PromiseWithResolvers<DebugStop> | undefined;

  /** A debugger of `machine`, which goes on meanwhile. */
  constructor(machine: DebuggedMachine) {
    this.#machine = machine;
    using kvm = new Kvm();
    this.#assisted = kvm.isHardwareAssisted;
    this.#stepping = canStepWithoutInterrupts(kvm)
      ? "without interrupts"
      : true;
    this.#hooks.use(machine.onDebugStop((vcpu) => void this.#stop(vcpu)));
  }

  /** Stops the machine where it is; who waits for {@linkcode go} hears of it. */
  async stop(): Promise<void> {
    await this.#machine.pause();
    // A pause before the start is one at the start.
    while (this.#machine.state === "created") await moment();
    await this.#machine.pause();
    this.#resolve({ reason: "paused" });
  }

  /**
   * Has the machine stop there from the next {@linkcode go} on.
   *
   * @throws {VireoError} this host can't, or has no breakpoint left
   */
  async insert(stop: HardwareStop): Promise<void> {
    if (this.#stops.some((other) => isSame(stop, other))) return;
    if (this.#stops.length === SLOTS) {
      throw new VireoError(`a vCPU has ${SLOTS} breakpoints, all in use`);
    }
    if (!this.#assisted) await this.#checkEmulated(stop);
    this.#stops.push(stop);
  }

  /** Takes it back. */
  remove(stop: HardwareStop): void {
    const index = this.#stops.findIndex((other) => isSame(stop, other));
    if (index >= 0) this.#stops.splice(index, 1);
  }

  /**
   * Lets the vCPUs go on.
   *
   * @param what each of them is to do
   * @returns the next stop; or rejects when the machine has ended
   * @throws {VireoError} this host can't do that
   */
  async go(what: (vcpu: number) => Go): Promise<DebugStop> {
    const stopped = this.#stopped = Promise.withResolvers<DebugStop>();
    try {
      await this.#machine.introspect((view) => this.#set(view, what));
      await this.#machine.resume();
    } catch (error) {
      this.#stopped = undefined;
      throw error;
    }
    return await stopped.promise;
  }

  /** Lets the guest go on as if there had never been a debugger. */
  async letGo(resume: boolean): Promise<void> {
    this.#stops.length = 0;
    this.#stopped = undefined;
    await this.#machine.introspect((view) => this.#set(view, () => "run"));
    if (resume) await this.#machine.resume();
  }

  /** Hears of no stop any more. */
  [Symbol.dispose](): void {
    this.#hooks.dispose();
  }

  #set(view: MachineView, what: (vcpu: number) => Go): void {
    const steps = view.vcpus.filter(({ id }) => what(id) === "step");
    for (const vcpu of steps) {
      if (this.#assisted || vcpu.cpl !== USER) continue;
      throw new VireoError(
        `vCPU ${vcpu.id} runs a program, which this host can't step through`,
      );
    }
    if (steps.length + this.#stops.length > 0) view.checkDebuggable();
    for (const vcpu of view.vcpus) {
      const setting = what(vcpu.id) === "step"
        ? this.#stepOf(vcpu)
        : { stops: this.#stops };
      setGuestDebug(vcpu.vcpu.fd, setting);
      view.hold(vcpu.id, what(vcpu.id) === "wait");
    }
  }

  /**
   * A breakpoint stops in front of its instruction again, and so in the place of
   * a step from there: none counts meanwhile.
   */
  #stepOf(vcpu: VcpuView): GuestDebugSetting {
    // KVM has done an OUT when it exits for it, and forgets the step.
    const { rip } = vcpu.registers;
    const [out] = OUT.exec(vcpu.read(rip, 15).toHex()) ?? [];
    if (out === undefined) return { step: this.#stepping };
    return { stops: [{ address: rip + BigInt(out.length / 2) }] };
  }

  /** Where KVM emulates the guest's kernel, its programs run on the CPU. */
  async #checkEmulated({ kind, address }: HardwareStop): Promise<void> {
    if (kind !== undefined && kind !== "execute") {
      throw new VireoError("this host has no watchpoints");
    }
    // Without SMEP, a kernel may run there as well.
    const user = await this.#machine.introspect(({ vcpus }) =>
      vcpus.some((vcpu) => {
        const { physical, user } = vcpu.walk(address);
        const smep = (vcpu.special.control("cr4") & CR4_SMEP) !== 0n;
        return physical !== undefined && user && smep;
      })
    );
    if (user) {
      throw new VireoError("this host has no breakpoints in programs");
    }
  }

  async #stop(vcpu: number): Promise<void> {
    if (this.#stopped === undefined) return;
    await this.#machine.pause();
    if (this.#stopped === undefined) return;
    const stop = await this.#machine.introspect((view) => {
      const { u32 } = view.vcpus[vcpu]!.vcpu.run;
      const slot = Math.log2(u32[DR6_OFFSET >> 2]! & 0xf);
      return this.#stops[slot];
    });
    const watches = stop?.kind === "write" || stop?.kind === "access";
    this.#resolve(
      watches ? { reason: "watch", vcpu, stop } : { reason: "stop", vcpu },
    );
  }

  #resolve(stop: DebugStop): void {
    const { resolve } = this.#stopped ?? {};
    this.#stopped = undefined;
    resolve?.(stop);
  }
}

function isSame(a: HardwareStop, b: HardwareStop): boolean {
  return a.address === b.address && a.kind === b.kind && a.length === b.length;
}

function moment(): Promise<void> {
  return new Promise((done) => Deno.unrefTimer(setTimeout(done, 10)));
}
