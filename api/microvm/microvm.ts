/**
 * The one machine of an API process: what requests have made of it, and what
 * they can do with it.
 *
 * @module
 */
import type { Log } from "../log.ts";
import type { VmConfig } from "../../vmm/config/types.ts";
import { check } from "../../vmm/config/check.ts";
import { Controller, type Phase } from "../../vmm/controller/controller.ts";
import type { Machine } from "../../vmm/machine.ts";
import type { MachineOptions } from "../../vmm/machine_options.ts";
import type { Snapshot } from "../../vmm/snapshot/snapshot.ts";
import type { MachineEnd } from "../../vmm/messages.ts";
import type { ResolvedConfig } from "../../vmm/config/resolve.ts";
import { Fault } from "../fault.ts";
import type { RateLimiterBody } from "../body/shapes.ts";
import type { Drive } from "../../vmm/devices/mod.ts";
import { deviceGroups, type Groups } from "../device_metrics.ts";
import { Draft, limitsOf } from "./draft.ts";
import type { MmdsCommand } from "../../devices/virtio/net/make.ts";
import { HeldDevices } from "./held.ts";
import { indexOf } from "./merged.ts";
import { Metadata } from "./metadata.ts";
import { fault, osError, textOf } from "./texts.ts";

// No literals in `import()`: those are read at the start, needed or not.
const MACHINE = new URL("../../vmm/machine.ts", import.meta.url).href;
const RESOLVE = new URL("../../vmm/config/resolve.ts", import.meta.url).href;
const SWAP = new URL("./swap_image.ts", import.meta.url).href;
const QUIRKS = new URL("../../cli/kernel_quirks.ts", import.meta.url).href;

const ENOMEM = 12;

/** Of the command line's room, which is above this one. */
interface Quirks {
  /** What a kernel has to be told of this host, and a line for the user. */
  addHostCmdline(config: VmConfig): Promise<string | undefined>;
}

/** What a microVM's process has for it. */
export interface Surroundings {
  /** What it is called. */
  readonly id: string;
  /** Where it says what it does. */
  readonly log: Log;
  /** Virtio devices are functions of PCI. */
  readonly pci: boolean;
  /** Bytes of metadata at most. */
  readonly metadataMax: number;
  /** Gets what the guest prints. */
  output(bytes: Uint8Array, path: string | undefined): unknown;
  /** The guest runs: it can be typed to. */
  started(machine: Machine): void;
  /** The guest reported that it is up. */
  booted(milliseconds: number): void;
  /** The machine has ended, and the process is to. */
  ended(end: MachineEnd): void;
}

/** How a machine is made. */
export type Maker = (
  Machine: typeof import("../../vmm/machine.ts").Machine,
  options: MachineOptions,
) => Promise<Machine>;

/** One machine, from its first request on. */
export class MicroVm {
  /** What its process has for it. */
  readonly surroundings: Surroundings;
  /** What of its devices is open. */
  readonly held: HeldDevices = new HeldDevices();
  /** What its metadata service tells. */
  readonly metadata: Metadata;
  /** What the next diff is a diff of; undefined: of nothing. */
  #since: Snapshot | undefined;
  #draft = new Draft();
  #machine: Machine | undefined;
  #source: VmConfig | undefined; // the running machine's
  #controller: Controller | undefined;

  /** A machine of which nothing is said yet. */
  constructor(surroundings: Surroundings) {
    this.surroundings = surroundings;
    this.metadata = new Metadata(surroundings.metadataMax);
  }

  /** What was said of it. */
  get draft(): Draft {
    return this.#draft;
  }

  /** The snapshot that changes of memory are counted from. */
  get since(): Snapshot | undefined {
    return this.#since;
  }

  set since(snapshot: Snapshot | undefined) {
    this.#since?.[Symbol.dispose]();
    this.#since = snapshot;
  }

  /** What it can do at the moment. */
  get phase(): Phase {
    return this.#controller?.phase ?? "not started";
  }

  /** It has been started. */
  get started(): boolean {
    return this.#machine !== undefined;
  }

  /** The machine; there has to be one. */
  get machine(): Machine {
    return this.#machine!;
  }

  /** What pauses, resumes and saves it; there has to be one. */
  get controller(): Controller {
    return this.#controller!;
  }

  /**
   * Says something more of the machine. It stays as it was when that is wrong.
   *
   * @throws {Fault} what is wrong
   */
  change(change: (draft: Draft) => void): void {
    this.become(this.tried(change));
  }

  /**
   * What the machine would be.
   *
   * @throws {Fault} what is wrong with that
   */
  tried(change: (draft: Draft) => void): Draft {
    const draft = this.#draft.copy();
    change(draft);
    const before = this.#findings(this.#draft).map(textOf);
    const finding = this.#findings(draft)
      .find((finding) => !before.includes(textOf(finding)));
    if (finding !== undefined) throw new Fault(textOf(finding));
    draft.touched = true;
    return draft;
  }

  /** From now on it is this, which is known to be right. */
  become(draft: Draft): void {
    this.#draft = draft;
    const source = this.#source as Record<string, unknown> | undefined;
    if (source === undefined) return;
    // So that a snapshot of the running machine names what it has now.
    const config = Object.entries(draft.config(this.surroundings.pci));
    for (const [key, value] of config) {
      if (CHANGING.includes(key)) source[key] = changed(source[key], value);
    }
  }

  /**
   * Starts the guest.
   *
   * @throws {Fault} it can't be; nothing has changed
   */
  async start(): Promise<void> {
    const { draft } = this;
    if (draft.boot === undefined) {
      throw startFault("Cannot start microvm without kernel configuration.");
    }
    const { config } = await this.#resolved(
      draft.config(this.surroundings.pci),
    );
    this.held.give(config);
    try {
      await this.run(
        config,
        (Machine, options) => Machine.fromResolved(config, options),
      );
    } catch (error) {
      throw fault("Start microvm error", error);
    }
  }

  /**
   * Makes a machine, and lets it run.
   *
   * @param config what it is made of
   * @param paused it begins paused
   * @throws {VireoError} it can't be made
   */
  async run(
    { source }: ResolvedConfig,
    make: Maker,
    paused = false,
  ): Promise<void> {
    const { surroundings: around, draft } = this;
    const { Machine }: typeof import("../../vmm/machine.ts") = await import(
      MACHINE
    );
    const path = draft.serial?.serial_out_path;
    const machine = await make(Machine, {
      onOutput: (bytes) => around.output(bytes, path),
      onLog: (line) => around.log.warn(line),
      onBooted: (milliseconds) => around.booted(milliseconds),
    });
    const { vcpu_count: cpus, mem_size_mib: memory } = draft.machine;
    this.#machine = machine;
    this.#source = source;
    this.#controller = new Controller(machine, {
      name: around.id,
      command: ["firecracker", ...Deno.args],
      ...{ cpus, memory },
    });
    machine.wait().then((end) => around.ended(end));
    if (paused) machine.pause();
    machine.start();
    this.held.keepNames();
    await this.#tellMetadata(machine);
    if (paused) await machine.pause();
    around.started(machine);
  }

  /**
   * Gives a disk another image, which the guest is told the size of.
   *
   * @throws {VireoError} it can't be had
   */
  async swapImage(id: string, config: Drive): Promise<void> {
    const { swapImage }: typeof import("./swap_image.ts") = await import(SWAP);
    swapImage(this.held.dataOf(id), config);
    await this.machine.resizeDrive(id);
  }

  /**
   * Gives a running device other limits: a bucket that isn't given stays.
   *
   * @throws {VireoError} it can't have any
   */
  async limit(
    id: string,
    limiters: Record<string, RateLimiterBody | undefined>,
  ): Promise<void> {
    const given = Object.entries(limiters).flatMap(([key, body]) =>
      body === undefined ? [] : [[key, limitsOf(body)]]
    );
    if (given.length === 0) return;
    const command = { type: "limits", ...Object.fromEntries(given) };
    await this.machine.command(id, command);
  }

  /** What its devices have counted. */
  async deviceMetrics(): Promise<Groups> {
    if (!this.started) return {};
    return deviceGroups(await this.machine.metrics());
  }

  /** What the guest is told from now on. */
  async setMetadata(store: unknown): Promise<void> {
    this.metadata.store = store;
    if (this.started) await this.#tellMetadata(this.machine);
  }

  /** Each interface with the service has the data itself. */
  async #tellMetadata(machine: Machine): Promise<void> {
    const { store, isThere } = this.metadata;
    if (!isThere) return;
    const command: MmdsCommand = { type: "mmds", store };
    const names = this.draft.mmds?.network_interfaces ?? [];
    await Promise.all(names.map((name) => machine.command(name, command)));
  }

  /** The configuration, with what this host makes of it. */
  async #resolved(config: VmConfig): Promise<{ config: ResolvedConfig }> {
    const { resolve }: typeof import("../../vmm/config/resolve.ts") =
      await import(RESOLVE);
    const { addHostCmdline }: Quirks = await import(QUIRKS);
    try {
      const note = await addHostCmdline(config);
      if (note !== undefined) this.surroundings.log.info(note);
      return { config: resolve(config, (findings) => startText(findings[0]!)) };
    } catch (error) {
      throw fault("Start microvm error", error);
    }
  }

  #findings(draft: Draft) {
    return check(draft.config(this.surroundings.pci)).findings
      // As much memory as there isn't is refused at the start.
      .filter(({ path, value }) =>
        path !== "machine-config.mem_size_mib" || value === 0
      );
  }
}

/** What requests may change of a machine that runs. */
const CHANGING: readonly string[] = ["drives", "network-interfaces", "balloon"];

/** A device, or a list of them, with what was said of it later. */
function changed(old: unknown, now: unknown): unknown {
  if (!Array.isArray(old)) return { ...old as object, ...now as object };
  const devices = now as unknown[];
  return old.map((device) => {
    const index = indexOf(devices, device);
    return index < 0 ? device : changed(device, devices[index]);
  });
}

/** Why a machine can't be started. */
function startFault(text: string): Fault {
  return new Fault(`Start microvm error: ${text}`);
}

function startText(finding: Parameters<typeof textOf>[0]): string {
  if (finding.path !== "machine-config.mem_size_mib") return textOf(finding);
  return "Invalid Memory Configuration: Cannot create mmap region: " +
    osError(ENOMEM);
}
