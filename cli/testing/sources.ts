/**
 * For tests: which version of Vireo this is, by its source text.
 *
 * @module
 */
import { createHash } from "node:crypto";

const ROOT = new URL("../../", import.meta.url);
/** What a machine's saved state depends on. */
const ROOMS = ["devices", "emulate", "ffi", "guest", "vmm"];

/** A hash of all modules that a machine is made by. */
export function sourcesHash(): string {
  const hash = createHash("sha256");
  for (const room of ROOMS) addFolder(new URL(`${room}/`, ROOT), hash);
  return hash.digest("hex");
}

function addFolder(folder: URL, hash: ReturnType<typeof createHash>): void {
  const entries = [...Deno.readDirSync(folder)];
  for (const { name, isDirectory } of entries.toSorted(byName)) {
    if (isDirectory && name !== "testing") {
      addFolder(new URL(`${name}/`, folder), hash);
    } else if (name.endsWith(".ts") && !name.endsWith("_test.ts")) {
      hash.update(name).update(Deno.readFileSync(new URL(name, folder)));
    }
  }
}

function byName(a: Deno.DirEntry, b: Deno.DirEntry): number {
  return a.name < b.name ? -1 : 1;
}
