/**
 * `vireo pause`, `resume`, `power-button`, `snapshot create`: what is asked of a
 * machine of another process.
 *
 * @module
 */
import { absolutePath } from "../../ffi/own_name.ts";
import { VireoError } from "../../ffi/error.ts";
import { ask, socketOf } from "../../vmm/controller/client.ts";
import type { SnapshotActionOptions } from "../snapshot/mod.ts";
import type { MethodName } from "../../vmm/controller/requests.ts";

/** How long a machine may take for all but a snapshot, in milliseconds. */
const TIME = 30_000;

/**
 * Asks a machine for something.
 *
 * @param which its name, process or control socket
 * @throws {VireoError} there is no such machine, or it objects
 */
export async function control(
  which: string,
  method: MethodName,
): Promise<void> {
  const path = await socketOf(which);
  await telling(which, () => ask(path, method, {}, TIME));
}

/**
 * Saves a running machine, which goes on.
 *
 * @param which its name, process or control socket
 * @throws {VireoError} there is no such machine, or it can't be saved
 */
export async function createSnapshot(
  which: string,
  folder: string,
  { sync, since }: SnapshotActionOptions = {},
): Promise<void> {
  const path = await socketOf(which);
  const params = {
    folder: absolutePath(folder),
    sync,
    ...(since !== undefined && { since: absolutePath(since) }),
  };
  await telling(which, () => ask(path, "snapshot", params));
}

/** Does it, and names the machine when that fails. */
export async function telling<T>(
  which: string,
  action: () => Promise<T>,
): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof VireoError)) throw error;
    throw new VireoError(`machine ${which}: ${error.message}`);
  }
}
