/**
 * A paused machine, open to be looked at and changed.
 *
 * @module
 */
import type { KernelSymbols } from "../../guest/kernel/symbols.ts";
import { GuestMemory } from "../../guest/memory.ts";
import { VireoError } from "../../ffi/error.ts";
import type { MachineParts } from "../build.ts";
import type { ResolvedConfig } from "../config/mod.ts";
import { Command } from "../control.ts";
import { snapshots } from "../lazy.ts";
import { emulationOfHost } from "../refused.ts";
import type { Snapshot } from "../snapshot/mod.ts";
import { writeElfCore } from "./elf_core.ts";
import { type DeviceReport, deviceReports } from "./queues.ts";
import { type MachineReport, reportOf } from "./report.ts";
import { VcpuView } from "./vcpu_view.ts";

/** Each machine's RAM in this thread: a view is made once. */
const memories = new WeakMap<MachineParts, GuestMemory>();

/** What {@linkcode Machine.introspect} gives: of use until the machine goes on. */
export class MachineView implements Disposable {
  /** The guest's RAM, by guest physical address. */
  readonly memory: GuestMemory;
  /** The vCPUs, in the order of their numbers. */
  readonly vcpus: readonly VcpuView[];
  readonly #parts: MachineParts;
  readonly #config: ResolvedConfig;
  readonly #rest: () => Promise<void>;
  readonly #stack = new DisposableStack();

  /**
   * @internal Of a machine whose vCPUs don't run.
   *
   * @param rest has its devices rest, too, if they don't yet
   */
  constructor(
    parts: MachineParts,
    config: ResolvedConfig,
    rest: () => Promise<void> = () => Promise.resolve(),
  ) {
    this.#parts = parts;
    this.#config = config;
    this.#rest = rest;
    let memory = memories.get(parts);
    if (memory === undefined) {
      memory = GuestMemory.attach(parts.vcpus[0]!.start.memory);
      memories.set(parts, memory);
    }
    this.memory = memory;
    using undo = this.#stack; // unless all are there
    this.vcpus = parts.vcpus.map((part) =>
      undo.use(new VcpuView(part, this.memory))
    );
    this.#stack = undo.move();
  }

  /** The virtio devices, and what is in their queues. */
  devices(): DeviceReport[] {
    return deviceReports(this.#parts.devices, this.memory);
  }

  /**
   * All of it as plain data, which prints well.
   *
   * @param symbols of the kernel, for where the vCPUs are
   */
  state(symbols?: KernelSymbols): MachineReport {
    return reportOf(this, symbols);
  }

  /**
   * Writes an ELF core, for gdb and the kernel's vmlinux: memory where the first
   * vCPU has it, and all vCPUs' registers.
   *
   * @param path a new file, for its owner only
   * @throws {VireoError} it can't be written; nothing is left of it
   */
  async dump(path: string): Promise<void> {
    await writeElfCore(this, path);
  }

  /**
   * What the machine is now; after its end, what it was then.
   *
   * @throws {VireoError} a part of it can't be saved
   */
  async snapshot(): Promise<Snapshot> {
    const { takeSnapshot } = await snapshots();
    await this.#rest();
    return await takeSnapshot(this.#parts, this.#config, {});
  }

  /**
   * @internal
   * @throws {VireoError} breakpoints and steps have another use here
   */
  checkDebuggable(): void {
    if (!this.#config.carrySyscalls || emulationOfHost() === undefined) return;
    throw new VireoError(
      "breakpoints and steps: not with carry_syscalls, which uses them",
    );
  }

  /** @internal Whether a vCPU waits while the others go on. */
  hold(vcpu: number, held: boolean): void {
    const { control } = this.#parts;
    control.setHeld(vcpu, held);
    // Who was resumed by others meanwhile looks again.
    if (control.vcpuCommand === Command.RUN) control.vcpuCommand = Command.RUN;
  }

  /** Gives up what it was looked at through. */
  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}
