/**
 * Makes a whole snapshot of one and of what differs from it.
 *
 * @module
 */
import { VireoError } from "../../../ffi/error.ts";
import { openChanges, openFolder } from "./folder.ts";
import { saveFolder } from "./save_folder.ts";
import { Snapshot } from "../snapshot.ts";

/**
 * Writes what `diff` was taken of: the RAM of `base` with the changes, and all
 * else from `diff`.
 *
 * @param base a folder with the snapshot that the diff is since
 * @param diff a folder with the diff
 * @param target where to; default: the diff becomes whole
 * @throws {VireoError} they don't belong together, or one is damaged; then
 *   nothing is changed
 */
export function mergeFolders(
  base: string,
  diff: string,
  target: string = diff,
): void {
  using whole = openFolder(base);
  const { state, since, changes, trusted } = openChanges(diff);
  if (whole.snapshot.sha256 !== since) {
    throw new VireoError(
      `snapshot "${diff}": is a diff of another snapshot than "${base}"`,
    );
  }
  using memory = whole.snapshot.memory.share(changes);
  saveFolder(new Snapshot(state, memory), target, { trusted });
}
