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

/** Carries one out; what it returns is printed. */
type Run = (...words: string[]) => Promise<string> | string;

const RUN: Record<SnapshotAction, Run> = {
  async create(machine, folder) {
    const { createSnapshot } = await import("../machines/control.ts");
    await createSnapshot(machine!, folder!);
    return "";
  },
  async inspect(folder) {
    return (await import("./inspect.ts")).inspect(folder!);
  },
  async verify(folder) {
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
): Promise<string> {
  const name = parseChoice("snapshot", action, NAMES);
  const [usage] = SNAPSHOT_ACTIONS[name];
  if (words.length === usage.split(" ").length) {
    return await RUN[name](...words);
  }
  throw new VireoError(`snapshot ${name}: takes ${usage}`);
}
