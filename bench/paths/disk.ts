/**
 * The scratch image: random bytes, all of them written, so that no machine
 * reads a hole.
 *
 * @module
 */
import { join } from "node:path";

const MiB = 1024 * 1024;
/** As a guest writes it. */
const PIECE = 4096;

/**
 * Writes an image of `size` MiB into `folder`, through to the disk, which
 * leaves it in the page cache: by single pages, because of larger pieces the
 * kernel makes large folios, whose list of blocks ext4 goes through for each
 * write to one of them (20 us).
 */
export async function makeDisk(folder: string, size: number): Promise<string> {
  const path = join(folder, "scratch.img");
  using file = await Deno.open(path, { write: true, createNew: true });
  const chunk = new Uint8Array(MiB);
  for (let i = 0; i < size; i++) {
    for (let at = 0; at < MiB; at += 65536) {
      crypto.getRandomValues(chunk.subarray(at, at + 65536));
    }
    for (let at = 0; at < MiB;) {
      at += file.writeSync(chunk.subarray(at, at + PIECE));
    }
  }
  await file.sync();
  return path;
}
