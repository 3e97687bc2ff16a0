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
import { ProgramDebug } from "./program_debug.ts";
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
  readonly #programs: ProgramDebug;
  #stopped: PromiseWithResolvers<DebugStop> | undefined;
  #what: (vcpu: number) => Go = () => "run";
  /**
   * vCPUs that KVM steps: as they were told, or to "pass" a handler of the
   * guest's own, in front of which they would stop again.
   */
  readonly #stepped = new Map<number, "step" | "pass">();
  /** vCPUs that have stopped since they went on. */
  readonly #came = new Set<number>();
  #leaves = false;

  /** A debugger of `machine`, which goes on meanwhile. */
  constructor(machine: DebuggedMachine) {
    this.#machine = machine;
    this.#programs = new ProgramDebug((address) => this.#breaksAt(address));
    using kvm = new Kvm();
    this.#assisted = kvm.isHardwareAssisted;
    this.#stepping = canStepWithoutInterrupts(kvm)
      ? "without interrupts"
      : true;
    this.#hooks.use(
      machine.onDebugStop((vcpu) => {
        this.#came.add(vcpu);
        void this.#stop().catch((error) => {
          // The machine has ended meanwhile; if somebody waits, it is told why.
          this.#stopped?.reject(error);
          this.#stopped = undefined;
        });
      }),
    );
  }

  /** Stops the machine where it is; who waits for {@linkcode go} hears of it. */
  async stop(): Promise<void> {
    await this.#machine.pause();
    // A pause before the start is one at the start.
    while (this.#machine.state === "created") await moment();
    await this.#machine.pause();
    await this.#machine.introspect((view) => {
      this.#programs.settle(view);
      this.#programs.stopWaiting(view);
    });
    this.#resolve({ reason: "paused" });
  }

  /**
   * Has the machine stop there from the next {@linkcode go} on.
   *
   * @throws {VireoError} this host can't, or has no breakpoint left
   */
  async insert(stop: HardwareStop): Promise<void> {
    if (this.#stops.some((other) => isSame(stop, other))) return;
    if (!this.#assisted) {
      if (stop.kind !== undefined && stop.kind !== "execute") {
        throw new VireoError("this host has no watchpoints");
      }
      const { address } = stop;
      const planted = await this.#machine.introspect((view) => {
        const isProgram = this.#programs.isProgram(view, address);
        if (isProgram) view.checkDebuggable();
        if (isProgram) this.#programs.plant(view, address);
        return isProgram;
      });
      if (planted) return;
    }
    if (this.#stops.length === SLOTS) {
      throw new VireoError(`a vCPU has ${SLOTS} breakpoints, all in use`);
    }
    this.#stops.push(stop);
  }

  /** Takes it back. */
  async remove(stop: HardwareStop): Promise<void> {
    const index = this.#stops.findIndex((other) => isSame(stop, other));
    if (index >= 0) this.#stops.splice(index, 1);
    else if (!this.#assisted) {
      await this.#machine.introspect((view) =>
        void this.#programs.takeOut(view, stop.address)
      );
    }
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
      const stepped = await this.#machine.introspect((view) => {
        const vcpu = view.vcpus.find(({ id }) => what(id) === "step");
        if (!this.#assisted && vcpu && this.#programs.returnTo(vcpu)) {
          return vcpu.id;
        }
        return void this.#set(view, what);
      });
      if (stepped === undefined) await this.#machine.resume();
      else this.#resolve({ reason: "stop", vcpu: stepped });
    } catch (error) {
      this.#stopped = undefined;
      if (this.#programs.busy) await this.stop();
      throw error;
    }
    return await stopped.promise;
  }

  /** Lets the guest go on as if there had never been a debugger. */
  async letGo(resume: boolean): Promise<void> {
    this.#stops.length = 0;
    this.#stopped = undefined;
    this.#leaves = true;
    await this.#machine.introspect((view) => {
      this.#programs.takeAllOut(view);
      this.#set(view, () => "run");
    });
    if (resume) await this.#machine.resume();
  }

  /** Hears of no stop any more, but for steps that are on their way. */
  [Symbol.dispose](): void {
    this.#leaves = true;
    if (!this.#owes) this.#hooks.dispose();
  }

  #set(view: MachineView, what: (vcpu: number) => Go): void {
    this.#what = what;
    this.#programs.stopWaiting(view);
    const steps = view.vcpus.filter(({ id }) => what(id) === "step");
    if (steps.length + this.#stops.length > 0) view.checkDebuggable();
    const inPrograms = this.#assisted
      ? []
      : steps.filter(({ cpl }) => cpl === USER);
    for (const vcpu of inPrograms) {
      // The end of KVM's step takes TF away, whoever has set it.
      setGuestDebug(vcpu.vcpu.fd, {});
      this.#programs.step(vcpu);
    }
    this.#came.clear();
    this.#stepped.clear();
    for (const vcpu of view.vcpus) {
      if (inPrograms.includes(vcpu)) continue;
      if (what(vcpu.id) === "step") this.#stepped.set(vcpu.id, "step");
      else if (this.#isAtHandler(vcpu)) this.#stepped.set(vcpu.id, "pass");
    }
    this.#setAll(view);
  }

  #setAll(view: MachineView): void {
    for (const vcpu of view.vcpus) {
      const steps = this.#stepped.has(vcpu.id);
      const setting = steps ? this.#stepOf(vcpu) : this.#stopsOf(vcpu);
      setGuestDebug(vcpu.vcpu.fd, setting);
      view.hold(vcpu.id, this.#what(vcpu.id) === "wait");
    }
  }

  /** In front of a handler, with what comes there told already. */
  #isAtHandler(vcpu: VcpuView): boolean {
    if (this.#assisted) return false;
    const { rip } = vcpu.registers;
    return !this.#breaksAt(rip) &&
      this.#programs.stops(vcpu).some(({ address }) => address === rip);
  }

  #breaksAt(address: bigint): boolean {
    return this.#stops.some((stop) =>
      stop.address === address && (stop.kind ?? "execute") === "execute"
    );
  }

  /** @throws {VireoError} there are too many */
  #stopsOf(vcpu: VcpuView): GuestDebugSetting {
    const stops = [...this.#stops, ...this.#programs.stops(vcpu)];
    if (stops.length <= SLOTS) return { stops };
    throw new VireoError(
      `a vCPU has ${SLOTS} breakpoints: those in programs, steps there, and ` +
        "one at the entry of system calls take one more each",
    );
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

  async #stop(): Promise<void> {
    if (!this.#hears) return;
    await this.#machine.pause();
    const stop = await this.#machine.introspect((view) =>
      // Another vCPU's stop may have come before, with this one or without.
      this.#hears && this.#came.size > 0 ? this.#stopsIn(view) : "stays"
    );
    if (stop === "goes on") await this.#machine.resume();
    else if (stop !== "stays") this.#resolve(stop);
  }

  /** Somebody waits for a stop, or a step that nobody waits for is to end. */
  get #hears(): boolean {
    return this.#stopped !== undefined || this.#leaves && this.#owes;
  }

  /** Steps are on their way. */
  get #owes(): boolean {
    return this.#programs.busy || this.#stepped.size > 0;
  }

  /** What the vCPUs' stops are; when they are nobody's, all is set to go on. */
  #stopsIn(view: MachineView): DebugStop | "goes on" {
    for (const id of this.#came) {
      this.#came.delete(id);
      const vcpu = view.vcpus[id]!;
      const stop = this.#stopOf(vcpu);
      if (stop === undefined || this.#stopped === undefined) continue;
      this.#programs.settle(view, vcpu);
      return stop;
    }
    return this.#goOn(view);
  }

  /** What a vCPU's stop is; undefined: nobody's. */
  #stopOf(vcpu: VcpuView): DebugStop | undefined {
    const { id } = vcpu;
    const stepped = this.#stepped.get(id);
    this.#stepped.delete(id);
    if (stepped === "pass") return undefined;
    const { u32 } = vcpu.vcpu.run;
    // A handler's stop comes behind these, and may be at the same place.
    const hit = u32[DR6_OFFSET >> 2]! & 0xf;
    const stop = this.#stops[Math.log2(hit & -hit)];
    const program = this.#assisted ? undefined : this.#programs.stopped(vcpu);
    if (program === "on") return undefined;
    if (program === "guest's" && stop === undefined && stepped === undefined) {
      this.#stepped.set(id, "pass");
      return undefined;
    }
    const watches = stop?.kind === "write" || stop?.kind === "access";
    return watches
      ? { reason: "watch", vcpu: id, stop }
      : { reason: "stop", vcpu: id };
  }

  /** As it went before; what was stepping in a program still is. */
  #goOn(view: MachineView): "goes on" {
    this.#setAll(view);
    if (this.#leaves && !this.#owes) this.#hooks.dispose();
    return "goes on";
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
