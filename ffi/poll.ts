/**
 * poll(2) of one descriptor, without holding up the thread that asks.
 *
 * @module
 */
import { libc } from "./libc.ts";

/** What to wait for: `POLL*`. */
export const Poll = { IN: 1, OUT: 4 } as const;

/** Bytes of `struct pollfd`. */
const POLLFD_SIZE = 8;
const FOR_EVER = -1;

/**
 * Waits until a read or a write of `fd` would not block, or fails. It does not
 * keep the process alive.
 */
export async function pollFd(fd: number, events: number): Promise<void> {
  // A buffer of its own is outside V8's heap, and does not move.
  const pollFd = new DataView(new ArrayBuffer(POLLFD_SIZE));
  pollFd.setInt32(0, fd, true);
  pollFd.setInt16(4, events, true);
  await libc.poll(pollFd, 1, FOR_EVER);
  pollFd.getInt16(6, true); // the buffer is of use until here
}
