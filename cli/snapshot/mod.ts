/**
 * `vireo snapshot`: saves a machine that runs, and says what was saved.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { parseChoice } from "../../vmm/devices/words.ts";
import { SNAPSHOT_ACTIONS } from "../help.ts";

type SnapshotAction = keyof typeof SNAPSHOT_ACTIONS;
const NAMES = Object.keys(SNAPSHOT_ACTIONS) as SnapshotAction[];

/** Options of all actions; each has its own. */
export interface SnapshotActionOptions {
  /** Of `create`: it outlives a power cut. */
  sync?: boolean;
  /** Of `create`: only what differs from this one is saved. */
  since?: string;
}

/** Carries one out; what it returns is printed. */
type Run = (
  words: readonly string[],
  options: SnapshotActionOptions,
) => Promise<string> | string;

const RUN: Record<SnapshotAction, Run> = {
  async create([machine, folder], options) {
    const { createSnapshot } = await import("../machines/control.ts");
    await createSnapshot(machine!, folder!, options);
    return "";
  },
  async diff([a, b]) {
    return (await import("./inspect.ts")).diff(a!, b!);
  },
  async inspect([folder]) {
    return (await import("./inspect.ts")).inspect(folder!);
  },
  async ls([folder]) {
    return await (await import("./list.ts")).list(folder ?? ".");
  },
  async merge([base, diff, folder]) {
    const { mergeFolders } = await import("../../vmm/snapshot/mod.ts");
    mergeFolders(base!, diff!, folder);
    return "";
  },
  async rm([folder]) {
    const { removeFolder } = await import("../../vmm/snapshot/mod.ts");
    removeFolder(folder!);
    return "";
  },
  async verify([folder]) {
    const { verifyFolder } = await import("../../vmm/snapshot/mod.ts");
    verifyFolder(folder!);
    return `${folder}: whole`;
  },
};

/**
 * Carries `action` out.
 *
 * @param words its arguments
 * @returns what to print
 * @throws {VireoError} no such action, other arguments, or what is wrong
 */
export async function snapshotCommand(
  action: string,
  words: readonly string[],
  options: SnapshotActionOptions = {},
): Promise<string> {
  const name = parseChoice("snapshot", action, NAMES);
  const [usage] = SNAPSHOT_ACTIONS[name];
  const takes = usage.split(" ");
  const least = takes.filter((word) => !word.startsWith("[")).length;
  if (words.length < least || words.length > takes.length) {
    throw new VireoError(`snapshot ${name}: takes ${usage}`);
  }
  const [option] = Object.keys(options);
  if (option !== undefined && name !== "create") {
    throw new VireoError(`snapshot ${name}: --${option} is for create`);
  }
  return await RUN[name](words, options);
}
