/**
 * For tests: machines that are saved as their init asks for orders.
 *
 * @module
 */
import type { ResolvedConfig } from "../../vmm/config/resolve.ts";
import type { Snapshot } from "../../vmm/snapshot/mod.ts";
import { openFolder } from "../../vmm/snapshot/on_disk/folder.ts";
import { keepEntry, ownFolder, useEntry } from "../instant/cache.ts";
import { bootKey } from "../instant/key.ts";
import { sourcesHash } from "./sources.ts";

/**
 * The machine of `config` as its init asks for commands: where these sources
 * have saved one, that, else what `boot` comes to, which is kept.
 */
export async function asking(
  config: ResolvedConfig,
  boot: () => Promise<Snapshot>,
): Promise<Snapshot> {
  const cache = ownFolder();
  const of = sourcesHash();
  const key = await bootKey(config, { commands: true, of });
  const open = (folder: string) => Promise.resolve(openFolder(folder).snapshot);
  const kept = await useEntry(cache, key, open);
  if (kept !== undefined) return kept;
  const snapshot = await boot();
  keepEntry(cache, key, "of a test", snapshot);
  return snapshot;
}
