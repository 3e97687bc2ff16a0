/**
 * Snapshots as Firecracker's clients have them: a file with the state, and one
 * with the memory, wherever they want them. In them is what is in a folder of
 * Vireo's own.
 *
 * @module
 */
import type { StoredMemory } from "../../vmm/snapshot/on_disk/stored_memory.ts";
import { writeFully } from "../../vmm/snapshot/memory_image.ts";
import { PAGE } from "../../vmm/snapshot/runs.ts";
import type { Snapshot } from "../../vmm/snapshot/snapshot.ts";
import { dirname, join, resolve } from "node:path";
import { VireoError } from "../../ffi/error.ts";
import { sha256Now } from "../../ffi/sha256.ts";
import {
  memoryNames,
  namedMemory,
  type OpenedFolder,
  openFolder,
  STATE,
} from "../../vmm/snapshot/on_disk/folder.ts";

/**
 * Saves a machine.
 *
 * @param since of the memory only what is otherwise than there is written: the
 *   rest are holes. Laid over that one's memory, the two are the whole.
 * @throws {Error} it can't be; what was there stays
 */
export function saveFiles(
  statePath: string,
  memoryPath: string,
  snapshot: Snapshot,
  since?: Snapshot,
): void {
  const memoryPlace = resolve(memoryPath);
  // Beside it, so that the memory moves without being copied.
  const folder = Deno.makeTempDirSync({
    dir: dirname(memoryPlace),
    prefix: ".vireo-",
  });
  try {
    const part = `${resolve(statePath)}.part`;
    snapshot.save(folder, { since });
    if (since !== undefined) spread(folder, snapshot);
    const [memory] = memoryNames(folder);
    Deno.copyFileSync(join(folder, STATE), part);
    Deno.renameSync(join(folder, memory!), memoryPlace);
    Deno.renameSync(part, resolve(statePath));
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/**
 * A diff whose pages stand one behind the other becomes one with each page in
 * its place, and its state that of the whole.
 */
function spread(folder: string, { memory }: Snapshot): void {
  const { sha256: _, ...content } = JSON.parse(
    Deno.readTextFileSync(join(folder, STATE)),
  );
  const { file, size, diff } = content.memory as StoredMemory;
  const path = join(folder, file);
  {
    using packed = Deno.openSync(path);
    Deno.removeSync(path);
    using target = Deno.openSync(path, {
      write: true,
      createNew: true,
      mode: 0o600,
    });
    target.truncateSync(size);
    const page = new Uint8Array(PAGE);
    for (const [first, pages, sum] of diff!.runs) {
      target.seekSync(first * PAGE, Deno.SeekMode.Start);
      for (let i = 0; i < pages; i++) {
        // Zeros are data, too: a hole is what has not changed.
        if (sum === null) page.fill(0);
        else if (packed.readSync(page) !== PAGE) {
          throw new VireoError("cut off");
        }
        writeFully(target, page);
      }
    }
  }
  const whole = { ...content, memory: { file, size, crc32: memory.sums() } };
  const text = JSON.stringify(
    { ...whole, sha256: sha256Now(JSON.stringify(whole)) },
    null,
    1,
  );
  Deno.writeTextFileSync(join(folder, STATE), `${text}\n`);
}

/**
 * Opens what {@linkcode saveFiles} wrote.
 *
 * @param memoryPath undefined: the memory comes from elsewhere
 * @throws {Error} it can't be had, or is damaged
 */
export function openFiles(
  statePath: string,
  memoryPath: string | undefined,
): OpenedFolder {
  const state = Deno.realPathSync(statePath);
  const memory = memoryPath === undefined
    ? undefined
    : Deno.realPathSync(memoryPath);
  const folder = Deno.makeTempDirSync({ prefix: "vireo-load-" });
  try {
    Deno.symlinkSync(state, join(folder, STATE));
    const name = namedMemory(folder);
    if (typeof name !== "string" || name.includes("/")) {
      throw new VireoError(`"${statePath}" is no state of Vireo's`);
    }
    if (memory !== undefined) Deno.symlinkSync(memory, join(folder, name));
    return openFolder(folder, memory === undefined);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}
