/**
 * `vireo restore`: a saved machine goes on.
 *
 * @module
 */
import { MACHINE_DESCRIPTORS, needDescriptors } from "../../ffi/descriptors.ts";
import { VireoError } from "../../ffi/error.ts";
import { readJsonFile } from "../../vmm/config/file.ts";
import { Machine } from "../../vmm/machine.ts";
import type { Overrides } from "../../vmm/snapshot/mod.ts";
import { parseTimeout } from "../options.ts";
import { parseControl } from "../machines/control_options.ts";
import { parseSnapshots } from "./trigger.ts";
import { Session } from "../session.ts";

/** The command line of `vireo restore`, as words. */
export interface RestoreOptions {
  /** `ID=FILE` for disks that are others now. */
  disk: string[];
  /** A file of what else is. */
  config?: string;
  /** What the snapshot names on the host is opened on its word. */
  trust?: boolean;
  /** What the machine is called. */
  name?: string;
  /** It has a control socket. */
  control?: boolean;
  /** When to save the machine again, and where. */
  snapshotOn?: string[];
  /** Seconds until the machine is ended: `60`. */
  timeout?: string;
}

/**
 * Lets the machine of a snapshot go on, with its console on standard input and
 * output.
 *
 * @returns the exit status
 * @throws {VireoError} the snapshot can't be restored, in one line
 */
export async function restore(
  folder: string,
  options: RestoreOptions,
): Promise<number> {
  const timeout = parseTimeout(options.timeout);
  const snapshots = parseSnapshots(options);
  const control = parseControl(options);
  needDescriptors(MACHINE_DESCRIPTORS, "a machine");
  const { trust } = options;
  const overrides = await overridesOf(options);
  const session = new Session("", {
    timeout,
    snapshots,
    control,
    detached: true,
  });
  return await session.runMade(
    { memory: 0, virtioConsole: false },
    (hooks) => Machine.restore(folder, overrides, { ...hooks, trust }),
  );
}

async function overridesOf(
  { disk, config }: RestoreOptions,
): Promise<Overrides> {
  const given = config === undefined ? {} : await readJson(config);
  if (disk.length === 0) return given;
  const drives = disk.map(parseDisk) as unknown as Overrides["drives"];
  return { ...given, drives: [...given.drives ?? [], ...drives!] };
}

function parseDisk(text: string): { drive_id: string; path_on_host: string } {
  const [id, path] = text.split(/=(.*)/s);
  if (id && path) return { drive_id: id, path_on_host: path };
  throw new VireoError(`--disk ${text}: not of the form ID=FILE`);
}

/** The keys' values are checked with those that they replace. */
async function readJson(path: string): Promise<Overrides> {
  const value = JSON.parse(await readJsonFile(path));
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value;
  }
  throw new VireoError(`${path}: is not an object`);
}
