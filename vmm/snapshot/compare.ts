/**
 * Compares the RAM of two snapshots.
 *
 * @module
 */
import { read } from "./folder.ts";
import { PIECE } from "./memory_image.ts";

const PAGE = 4096;

/**
 * How much of the RAM of `b` is otherwise than in `a`; 0 where they differ in
 * size.
 *
 * @throws {VireoError} one of them is no snapshot
 */
export function compareMemory(
  a: string,
  b: string,
): { pages: number; bytes: number } {
  using left = read(a).snapshot;
  using right = read(b).snapshot;
  let pages = 0;
  if (left.memory.size === right.memory.size) {
    using other = right.memory.open({ read: true });
    const buffer = new Uint8Array(PIECE);
    left.memory.sums((at, piece) => {
      const bytes = buffer.subarray(0, piece.length);
      readAt(other, at, bytes);
      pages += differentPages(piece, bytes);
    });
  }
  return { pages, bytes: pages * PAGE };
}

function differentPages(a: Uint8Array, b: Uint8Array): number {
  const [left, right] = [a, b].map(({ buffer, length }) =>
    new Uint32Array(buffer, 0, length / 4)
  );
  let pages = 0;
  for (let page = 0; page < a.length; page += PAGE) {
    for (let i = page / 4; i < (page + PAGE) / 4; i++) {
      if (left![i] === right![i]) continue;
      pages++;
      break;
    }
  }
  return pages;
}

/** What is behind the file's end reads as zeros. */
function readAt(file: Deno.FsFile, at: number, bytes: Uint8Array): void {
  bytes.fill(0);
  file.seekSync(at, Deno.SeekMode.Start);
  for (let done = 0; done < bytes.length;) {
    const count = file.readSync(bytes.subarray(done));
    if (count === null) return;
    done += count;
  }
}
