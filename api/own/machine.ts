/**
 * What Vireo's own requests do with a machine that runs.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { ExecBody, ResetBody, TraceBody } from "../body/own_shapes.ts";
import type { FaultPlan } from "../../devices/faults/rules.ts";
import type { Machine } from "../../vmm/machine.ts";
import type { TraceFilter } from "../../vmm/trace/events.ts";
import type { MicroVm } from "../microvm/microvm.ts";
import { openFiles } from "../microvm/snapshot_files.ts";

const FILE = new URL("../../monitor/trace/file.ts", import.meta.url).href;

/** Of the monitors' room, which is above this one. */
interface Files {
  TraceFile: new (options: FileOptions, say: (line: string) => void) =>
    & AsyncDisposable
    & { follow(machine: Pick<Machine, "traceBatches">): Promise<void> };
  /** Reads the option of the command line: a path alone has the defaults. */
  parseTraceFile(path: string): FileOptions;
}

/** What a file is to have, and bytes at most. */
interface FileOptions {
  path: string;
  filter: TraceFilter;
  max: number;
}

/** Ends the file that a machine's events are written to. */
const traces = new WeakMap<MicroVm, () => Promise<void>>();

/** Registers and addresses are hexadecimal texts: JSON has no such numbers. */
export async function stateOf(vm: MicroVm): Promise<unknown> {
  const text = await vm.machine.introspect((view) =>
    JSON.stringify(
      view.state(),
      (_, value) =>
        typeof value === "bigint" ? `0x${value.toString(16)}` : value,
    )
  );
  return { ...vm.controller.describe(), ...JSON.parse(text) };
}

/**
 * Runs a command; other requests wait for it.
 *
 * @throws {VireoError} it can't run, or takes longer
 */
export async function exec(
  vm: MicroVm,
  { command, env, cwd, stdin, timeout_ms }: ExecBody,
): Promise<unknown> {
  if (vm.phase !== "running") {
    throw new VireoError(`exec: the machine is ${vm.phase}`);
  }
  const output = await vm.machine.exec(command, {
    env: Object.fromEntries(env.map(variable)),
    ...(cwd !== undefined && { cwd }),
    ...(stdin !== undefined && { stdin }),
    timeout: timeout_ms,
    maxOutput: OUTPUT_MAX,
  });
  const { code, signal } = output;
  return {
    ...{ code, signal },
    stdout: output.text(),
    stderr: output.errorText(),
  };
}

/**
 * Says what happens to a device's requests.
 *
 * @throws {VireoError} there is no such device, or no such fault
 */
export async function setFaults(
  vm: MicroVm,
  device: string,
  plan: unknown,
): Promise<void> {
  try {
    await vm.machine.setFaults(device, plan as FaultPlan);
  } catch (error) {
    if (!/no such command/.test((error as Error).message)) throw error;
    throw new VireoError(
      `faults: ${device} was made without; PUT /vireo/config gives it some`,
    );
  }
}

/** Bytes of a command's output in an answer. */
const OUTPUT_MAX = 1 << 20;

function variable(word: string): [string, string] {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(word) ?? [];
  if (name !== undefined) return [name, value!];
  throw new VireoError(`exec: env: "${word}" is not of the form NAME=value`);
}

/**
 * Begins to write a file, in the place of the one before.
 *
 * @throws {VireoError} it can't be had, or there is no such event or device
 */
export async function trace(
  vm: MicroVm,
  { trace_path, types, devices, max_bytes }: TraceBody,
): Promise<void> {
  await endTrace(vm);
  const { TraceFile, parseTraceFile }: Files = await import(FILE);
  const { filter, max } = parseTraceFile("its defaults");
  const end = new AbortController();
  const wanted: TraceFilter = {
    ...filter,
    ...(types.length > 0 && { types: types as TraceFilter["types"] }),
    ...(devices.length > 0 && { devices }),
    signal: end.signal,
  };
  const file = new TraceFile(
    { path: trace_path, max: max_bytes ?? max, filter: wanted },
    (line) => vm.surroundings.log.warn(line),
  );
  try {
    await file.follow(vm.machine);
  } catch (error) {
    await file[Symbol.asyncDispose]();
    throw error;
  }
  traces.set(vm, async () => {
    end.abort();
    await file[Symbol.asyncDispose]();
  });
}

/** Ends the file, if there is one. */
export async function endTrace(vm: MicroVm): Promise<void> {
  const end = traces.get(vm);
  traces.delete(vm);
  await end?.();
}

/**
 * The machine is back at a snapshot of its own.
 *
 * @throws {VireoError} it is of another machine
 */
export async function reset(
  vm: MicroVm,
  { snapshot_path, mem_file_path }: ResetBody,
): Promise<void> {
  using opened = openFiles(snapshot_path, mem_file_path);
  await vm.machine.reset(opened.snapshot);
}
