/**
 * Frames through a TAP of the host.
 *
 * @module
 */
import { Errno, errno, SystemError } from "../../../ffi/errno.ts";
import { IoUring, RWF_NOWAIT } from "../../../ffi/io_uring.ts";
import { libc } from "../../../ffi/libc.ts";
import {
  readTap,
  setTapOffload,
  setTapQueue,
  type Tap,
} from "../../../ffi/tap.ts";
import type { Frame, NetBackend } from "./backend.ts";

/** Frames per system call: more gain little, and keep the driver waiting. */
const BATCH = 32;
const TWO_32 = 0x1_0000_0000;

/**
 * A backend on an open TAP; the descriptor stays its owner's.
 *
 * Several frames go out by one system call where the host has io_uring, else
 * by one each. The kernel carries a batch out in order. Should one frame find
 * no room and a later one of the same batch some, that one has overtaken it;
 * a TAP is never short of room unless its owner limits it (TUNSETSNDBUF).
 */
export class TapBackend implements NetBackend {
  readonly fd: number;
  readonly mtu: number;
  readonly offloads = true;
  readonly batch: number = BATCH;
  readonly results: Int32Array = new Int32Array(BATCH);
  readonly #ring: IoUring | undefined;

  /**
   * Frames come from and go to `tap`.
   *
   * @param batched false: one system call per frame, as without io_uring
   */
  constructor(tap: Tap, batched = true) {
    this.fd = tap.fd;
    this.mtu = tap.mtu;
    this.#ring = batched ? openRing(tap.fd) : undefined;
  }

  send(frames: readonly Frame[], count: number): void {
    if (this.#ring !== undefined && count > 1) {
      this.#sendBatch(this.#ring, frames, count);
      return;
    }
    for (let i = 0; i < count; i++) {
      const { pointer, count: iovecs } = frames[i]!;
      const sent = libc.writev(this.fd, pointer, iovecs);
      this.results[i] = sent < 0 ? -errno() : sent;
      // What comes behind a frame without room must not overtake it.
      if (this.results[i] === -Errno.EAGAIN) {
        this.results.fill(-Errno.EAGAIN, i, count);
        return;
      }
    }
  }

  receive(frame: Frame): number {
    return readTap(this.fd, frame.pointer, frame.count);
  }

  setOffload(offload: number): boolean {
    return accepted(() => setTapOffload(this.fd, offload));
  }

  setInUse(on: boolean): boolean {
    return accepted(() => setTapQueue(this.fd, on));
  }

  close(): void {
    this.#ring?.close();
  }

  /** Nothing is in flight afterwards: with NOWAIT, no write is put off. */
  #sendBatch(ring: IoUring, frames: readonly Frame[], count: number): void {
    for (let i = 0; i < count; i++) {
      const { iovecs, count: parts } = frames[i]!;
      const high = (iovecs / TWO_32) | 0;
      ring.writevWords(i, iovecs | 0, high, parts, RWF_NOWAIT);
    }
    ring.submit();
    const taken = count - ring.unsubmitted;
    // The kernel is short of memory: the rest has found no room.
    this.results.fill(-Errno.EAGAIN, taken, count);
    ring.discard();
    for (let left = taken; left > 0;) {
      const tag = ring.next();
      if (tag >= 0) {
        this.results[tag] = ring.result;
        left--;
      } else ring.wait();
    }
  }
}

/** False when the kernel refuses. */
function accepted(action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if (error instanceof SystemError) return false;
    throw error;
  }
}

/** A ring for NOWAIT writes to `fd`; undefined where the host has none. */
function openRing(fd: number): IoUring | undefined {
  using undo = new DisposableStack(); // unless it is of use
  try {
    // Not registered: a TAP must be free again when the machine has ended.
    const ring = undo.use(new IoUring(fd, BATCH, false));
    // Empty, so it does nothing; but the kernel says whether this file knows
    // NOWAIT, which TAPs do since Linux 5.8.
    ring.readv(0, 0, 0, 0, RWF_NOWAIT);
    ring.submit();
    while (ring.next() < 0) ring.wait();
    if (ring.result === -Errno.EOPNOTSUPP) return undefined;
    undo.move();
    return ring;
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}
