/**
 * Snapshots as Firecracker's clients have them: a file with the state, and one
 * with the memory, wherever they want them. In them is what is in a folder of
 * Vireo's own.
 *
 * @module
 */
import { dirname, join, resolve } from "node:path";
import { VireoError } from "../../ffi/error.ts";
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
 * @param save writes a folder
 * @throws {Error} it can't be; what was there stays
 */
export async function saveFiles(
  statePath: string,
  memoryPath: string,
  save: (folder: string) => Promise<void>,
): Promise<void> {
  const memoryPlace = resolve(memoryPath);
  // Beside it, so that the memory moves without being copied.
  const folder = Deno.makeTempDirSync({
    dir: dirname(memoryPlace),
    prefix: ".vireo-",
  });
  try {
    const part = `${resolve(statePath)}.part`;
    await save(folder);
    const [memory] = memoryNames(folder);
    Deno.copyFileSync(join(folder, STATE), part);
    Deno.renameSync(join(folder, memory!), memoryPlace);
    Deno.renameSync(part, resolve(statePath));
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
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
