/**
 * write(2) in a thread of Deno's, which may wait as long as it likes.
 *
 * @module
 */
import { Errno, errno, SystemError } from "./errno.ts";
import { libc } from "./libc.ts";
import { Poll, pollFd } from "./poll.ts";

/**
 * Writes some of `bytes`, and waits for that without holding up the thread
 * that calls. Deno's own streams would lose count: they have buffers behind
 * them, and a write that fails halfway doesn't say how far it came.
 *
 * @param bytes part of an ArrayBuffer that outlives the call: not a small
 *   array, which V8 may move
 * @param what names the descriptor in errors
 * @returns how many bytes were written; 0 asks to be called again
 * @throws {SystemError} the write failed
 */
export async function writeWait(
  fd: number,
  bytes: Uint8Array<ArrayBuffer>,
  what: string,
): Promise<number> {
  const count = await libc.write_wait(fd, bytes, bytes.length);
  if (count >= 0) return count;
  // Why is known in that thread only. Once it can't wait, this one asks, too.
  await pollFd(fd, Poll.OUT);
  const again = libc.write_u32(fd, bytes, 1);
  const code = errno();
  if (again >= 0) return again;
  if (code === Errno.EAGAIN || code === Errno.EINTR) return 0;
  throw new SystemError(what, code);
}
