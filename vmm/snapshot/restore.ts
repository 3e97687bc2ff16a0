/**
 * Makes a machine go on as a snapshot says: a new one, before its threads begin,
 * or one that is there, while they are paused.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { Vm } from "../../ffi/kvm/kvm.ts";
import { Vcpu } from "../../ffi/kvm/vcpu.ts";
import { restoreVcpu } from "../../ffi/kvm/vcpu_state.ts";
import { restoreVm } from "../../ffi/kvm/vm_state.ts";
import { pagePresent } from "../../ffi/memory/mmap.ts";
import { GuestMemory } from "../../guest/memory.ts";
import type { MachineParts } from "../build.ts";
import { resolve, type ResolvedConfig } from "../config/resolve.ts";
import type { VmConfig } from "../config/types.ts";
import type { Machine } from "../machine.ts";
import { sendToAll, tellOfMove } from "./devices.ts";
import { becomeAnother } from "./identity.ts";
import type { MachineOptions } from "../machine_options.ts";
import type { PageSource } from "./on_demand/on_demand.ts";
import { restorePlatform } from "./platform.ts";
import { openFolder, type Sum, sumKnown } from "./on_disk/folder.ts";
import { canLie, imageOf, layOver } from "./ram.ts";
import type { Snapshot } from "./snapshot.ts";
import { checkGiven, nameOf } from "./trust.ts";

/** What is to be otherwise: keys of the configuration, devices by their names. */
export type Overrides = Partial<Omit<VmConfig, "boot-source">>;

/** All that it is to be: what the snapshot says of the host counts for nothing. */
export class RestoreAs {
  /** Its machine, with as many devices of the same kinds. */
  readonly config: ResolvedConfig;

  /** A machine of this configuration. */
  constructor(config: ResolvedConfig) {
    this.config = config;
  }
}

/** What a restored machine is to be. */
export type Changes = Overrides | RestoreAs;

// No literal: that would be read whether it is needed or not.
const ON_DEMAND = new URL("./on_demand/on_demand.ts", import.meta.url).href;
const TOUCHED = new URL("./on_demand/touched.ts", import.meta.url).href;
/** There is a kernel in the memory already. */
const NO_KERNEL = { kernel_image_path: new Uint8Array() };

/** What a machine is restored from. */
interface Origin extends Disposable {
  readonly snapshot: Snapshot;
  readonly config: ResolvedConfig;
}

/**
 * Opens a snapshot, and resolves the configuration of its machine.
 *
 * @param from a snapshot, or a folder that has one
 * @throws {VireoError} it can't be had: each mistake in a line
 */
function openOrigin(
  from: Snapshot | string,
  overrides: Changes,
  { trust = false, pages }: MachineOptions,
  sum?: Sum,
): Origin {
  using undo = new DisposableStack(); // unless all goes well
  const opened = typeof from === "string"
    ? undo.use(openFolder(from, pages !== undefined, sum))
    : undefined;
  const snapshot = opened?.snapshot ?? from as Snapshot;
  const config = overrides instanceof RestoreAs
    ? { ...overrides.config, acpi: snapshot.state.acpi }
    : restoredConfig(snapshot, overrides, opened && (trust || opened.trusted));
  const kept = undo.move();
  return { snapshot, config, [Symbol.dispose]: () => kept.dispose() };
}

function restoredConfig(
  { state }: Snapshot,
  overrides: Overrides,
  trusted: boolean | undefined,
): ResolvedConfig {
  if (trusted !== undefined) checkGiven(state, overrides, trusted);
  const config: Record<string, unknown> = { ...state.config };
  for (const [key, value] of Object.entries(overrides)) {
    config[key] = overridden(config[key], value, key);
  }
  const resolved = resolve({ ...config, "boot-source": NO_KERNEL });
  return { ...resolved, acpi: state.acpi };
}

/** In a list, who has a name that is there already replaces that. */
function overridden(saved: unknown, value: unknown, key: string): unknown {
  if (!Array.isArray(value)) {
    return { ...(saved as object), ...value as object };
  }
  const named = Array.isArray(saved) ? [...saved] : [];
  for (const item of value) {
    const name = nameOf(item);
    const index = named.findIndex((other) => nameOf(other) === name);
    if (index < 0) {
      throw new VireoError(`${key}: the snapshot has no ${name}`);
    }
    named[index] = { ...named[index], ...item };
  }
  return named;
}

/** A machine that has not begun. */
interface Made {
  machine: Machine;
  parts: MachineParts;
  /** Lets its devices begin. */
  begin(): Promise<void>;
  /** Ends it with an error. */
  fail(message: string): void;
  /** Resolves when it begins to end. */
  ending: Promise<unknown>;
}

/** {@linkcode Machine.restore}; `make` makes a machine without a kernel. */
export async function restoreMachine(
  from: Snapshot | string,
  overrides: Changes,
  make: (config: ResolvedConfig) => Promise<Made>,
  options: MachineOptions,
): Promise<Machine> {
  const sum = typeof from === "string" ? await sumKnown(from) : undefined;
  using origin = openOrigin(from, overrides, options, sum);
  const { config, snapshot } = origin;
  const made = await make(config);
  const { machine, parts, begin } = made;
  try {
    checkShape(parts, snapshot);
    // Its guest is beyond the few instructions that want none.
    for (const { worker, start: { emulation } } of parts.vcpus) {
      if (emulation !== undefined) worker.post(emulation);
    }
    if (options.pages) {
      await serve(made, options.pages, snapshot, options.signal);
    } else layOver(parts, snapshot.memory);
    if (imageOf(parts)) parts.memoryComesFrom(() => imageOf(parts)?.fault());
    parts.devices.forEach((device, i) => {
      device.saved = snapshot.state.devices[i]!;
    });
    fillIn(parts, snapshot);
    dropLateTicks(parts);
  } catch (error) {
    await machine.stop();
    throw error;
  }
  if (!options.early?.isFirst(config)) await begin();
  tellOfMove(parts, config);
  return machine;
}

/** Until KVM has done that, it lets nobody fill its timer in. */
function dropLateTicks(parts: MachineParts): void {
  const { vmFd, vcpus: [vcpu] } = parts;
  const dropped = new Vm(vmFd, vcpu!.start.runSize).dropLateTicks();
  parts.defer(() => dropped[Symbol.asyncDispose]());
}

/** RAM comes page by page; not from the snapshot's own file. */
async function serve(
  { machine, parts, fail, ending }: Made,
  source: PageSource,
  { state }: Snapshot,
  signal?: AbortSignal,
): Promise<void> {
  if (!canLie(parts)) {
    throw new VireoError(
      "memory on demand: not with memory_file or huge pages of the pool",
    );
  }
  const { serveOnDemand }: typeof import("./on_demand/on_demand.ts") =
    await import(
      ON_DEMAND
    );
  const { memory: regions } = parts.vcpus[0]!.start;
  const defer = (release: () => Promise<void>) => parts.defer(release);
  await serveOnDemand({ regions, fail, ending, defer }, source);
  signal?.throwIfAborted();
  const giveUp = () => fail("memory on demand: given up");
  signal?.addEventListener("abort", giveUp, { once: true });
  // A handler that never answers must not hold this isolate, too.
  const memory = GuestMemory.attach(regions);
  const { touchedAddresses }: typeof import("./on_demand/touched.ts") =
    await import(TOUCHED);
  const places = touchedAddresses(state).map((at) => memory.hostAddress(at, 1));
  await Promise.all(places.filter((at) => at !== 0).map(pagePresent));
  if (machine.state === "created") return;
  throw new VireoError((await machine.wait()).message ?? "it has ended");
}

/**
 * {@linkcode Machine.reset}: a machine whose threads are paused is back at a
 * snapshot.
 */
export async function resetMachine(
  machine: Pick<Machine, "stop">,
  parts: MachineParts,
  snapshot: Snapshot,
): Promise<void> {
  checkShape(parts, snapshot);
  try {
    await sendToAll(parts, { type: "let-go" });
    parts.console.drainOutput(); // what was printed before
    parts.console.dropInput();
    layOver(parts, snapshot.memory);
    fillIn(parts, snapshot);
    parts.control.countReset();
    const saved = snapshot.state.devices;
    const overImage = imageOf(parts) !== undefined;
    await sendToAll(parts, { type: "restore", saved, overImage });
  } catch (error) {
    await machine.stop(); // it is neither here nor there
    throw error;
  }
}

/** @throws {VireoError} the snapshot is of another kind of machine */
function checkShape(
  { vcpus, devices }: MachineParts,
  { state, memory }: Snapshot,
): void {
  if (
    state.vcpus.length !== vcpus.length ||
    state.devices.length !== devices.length
  ) {
    throw new VireoError("snapshot: saved with other vCPUs or devices");
  }
  const regions = vcpus[0]!.start.memory;
  const size = regions.reduce((sum, region) => sum + region.size, 0);
  if (size !== memory.size) {
    throw new VireoError("snapshot: its memory is not the machine's in size");
  }
}

/**
 * Fills vCPUs, interrupt controllers and small devices in.
 *
 * @throws {VireoError} KVM refuses the state
 */
function fillIn(parts: MachineParts, { state }: Snapshot): void {
  restorePlatform(parts.vcpus[0]!.start, state.platform);
  restoreVm(parts.vmFd, state.vm, parts.clock.catchUp);
  parts.clock.stop(); // where it stands now, whatever it showed in a pause
  parts.vcpus.forEach(({ start: { vcpuFd, runSize } }, id) => {
    const vcpu = new Vcpu(vcpuFd, runSize);
    using view = vcpu.run; // the descriptor is the vCPU's thread's
    restoreVcpu(vcpu, state.vcpus[id]!);
    vcpu.kvmclockCtrl(); // it takes the time since for no lockup
    view.dropIo(); // of a thread that waits in the middle of it
  });
  becomeAnother(parts);
}
