/**
 * The scratch image: random bytes, all of them written, so that no machine
 * reads a hole.
 *
 * @module
 */
import { join } from "node:path";

const MiB = 1024 * 1024;

/**
 * Writes an image of `size` MiB into `folder`, through to the disk, which
 * leaves it in the page cache.
 */
export async function makeDisk(folder: string, size: number): Promise<string> {
  const path = join(folder, "scratch.img");
  using file = await Deno.open(path, { write: true, createNew: true });
  const chunk = new Uint8Array(MiB);
  for (let i = 0; i < size; i++) {
    for (let at = 0; at < MiB; at += 65536) {
      crypto.getRandomValues(chunk.subarray(at, at + 65536));
    }
    let rest = chunk;
    while (rest.length > 0) rest = rest.subarray(await file.write(rest));
  }
  await file.sync();
  return path;
}
