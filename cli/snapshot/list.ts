/**
 * `vireo snapshot ls`: snapshots, what they take, and who runs on them.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { machines } from "../../vmm/controller/client.ts";
import { type FolderUse, folderUse } from "../../vmm/snapshot/mod.ts";
import { plain, sizeText, table } from "../text.ts";

/**
 * The snapshot in a folder, or those in the folders in it.
 *
 * @returns what to print
 * @throws {VireoError} no such folder
 */
export async function list(folder: string): Promise<string> {
  const names = await namesOf();
  const head = ["FOLDER", "SAVED", "ON DISK", "REPLACED", "USED BY"];
  const rows = found(folder).map((
    [path, { saved, onDisk, replaced, users }],
  ) => [
    path,
    saved.toISOString().slice(0, 19).replace("T", " "),
    sizeText(onDisk),
    replaced === 0 ? "-" : sizeText(replaced),
    users.map((pid) => names.get(pid) ?? `${pid}`).join(", ") || "-",
  ]);
  return plain(table([head, ...rows]));
}

function found(folder: string): [string, FolderUse][] {
  const own = folderUse(folder);
  if (own) return [[folder, own]];
  return entries(folder).filter(({ isDirectory }) => isDirectory)
    .map(({ name }) => folder === "." ? name : `${folder}/${name}`)
    .toSorted()
    .flatMap((path): [string, FolderUse][] => {
      const use = folderUse(path);
      return use ? [[path, use]] : [];
    });
}

function entries(folder: string): Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(folder)];
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    throw new VireoError(`"${folder}": ${(error as Error).message}`);
  }
}

/** What this user's machines are called, by their processes. */
async function namesOf(): Promise<Map<number, string>> {
  const all = await machines().catch(() => []);
  return new Map(
    all.flatMap(({ description }) =>
      description?.name
        ? [[description.pid, `${description.pid} (${description.name})`]]
        : []
    ),
  );
}
