/**
 * Frames through a stream socket, each behind its length in four bytes, most
 * significant first: what passt speaks, and QEMU's `-netdev stream`.
 *
 * @module
 */
import { Errno, errno } from "../../../ffi/errno.ts";
import { libc } from "../../../ffi/libc.ts";
import { Shut, shutdownSocket } from "../../../ffi/unix_socket.ts";
import type { GuestMemory } from "../../../guest/memory.ts";
import type { Frame, NetBackend } from "./backend.ts";
import { copyIn, copyOut, frameBytes } from "./copy.ts";

/** Bytes in front of each frame. */
export const LENGTH_SIZE = 4;
/** The longest frame that the other end may send, and that is sent to it. */
export const FRAME_MAX = 65535 + 18;
/** Bytes that one read or write moves, at most. */
const BUFFER_SIZE = 256 * 1024;
const BATCH = 32;

/**
 * A backend on a connected stream socket, which stays its owner's. There are
 * no headers and so no offloads. Frames are copied: one system call moves
 * many, in both directions.
 */
export class StreamBackend implements NetBackend {
  readonly fd: number;
  readonly mtu: number;
  readonly offloads = false;
  readonly batch: number = BATCH;
  readonly results: Int32Array = new Int32Array(BATCH);
  readonly #memory: GuestMemory;
  readonly #header: Uint8Array; // of each frame of the device, all zeros
  readonly #out = new Uint8Array(BUFFER_SIZE);
  #outEnd = 0;
  // What was read is #in from #inStart to #inEnd.
  readonly #in = new Uint8Array(BUFFER_SIZE);
  #inStart = 0;
  #inEnd = 0;
  #dead = false;

  /**
   * Frames come from and go to `fd`.
   *
   * @param memory the guest's RAM
   * @param headerSize bytes in front of a frame that are the device's alone
   */
  constructor(
    fd: number,
    memory: GuestMemory,
    headerSize: number,
    mtu = 1500,
  ) {
    this.fd = fd;
    this.mtu = mtu;
    this.#memory = memory;
    this.#header = new Uint8Array(headerSize);
  }

  /** The socket took a part of a frame; the rest goes first. */
  get unsent(): boolean {
    return this.#outEnd > 0;
  }

  /** A whole frame is here already. */
  get buffered(): boolean {
    return this.#nextLength() >= 0;
  }

  send(frames: readonly Frame[], count: number): void {
    this.#flush();
    for (let i = 0; i < count; i++) {
      this.results[i] = this.#append(frames[i]!);
      // A shorter frame behind it might fit, but must not overtake it.
      if (this.results[i] === -Errno.EAGAIN) {
        this.results.fill(-Errno.EAGAIN, i, count);
        break;
      }
    }
    this.#flush();
  }

  receive(frame: Frame): number {
    let length = this.#nextLength();
    if (length < 0) {
      const failure = this.#fill();
      if (failure !== 0) return -failure;
      length = this.#nextLength();
      if (length < 0) return -Errno.EAGAIN;
    }
    if (length > FRAME_MAX) return this.#giveUp();
    const start = this.#inStart + LENGTH_SIZE;
    const { length: header } = this.#header;
    copyIn(this.#memory, frame, 0, this.#header);
    const bytes = this.#in.subarray(start, start + length);
    copyIn(this.#memory, frame, header, bytes);
    this.#inStart = start + length;
    return header + length;
  }

  /** None can be had: there is no header to say it in. */
  setOffload(offload: number): boolean {
    return offload === 0;
  }

  /** The socket is its owner's. */
  close(): void {}

  /** Bytes taken, or -errno. */
  #append(frame: Frame): number {
    const { length: header } = this.#header;
    const length = frameBytes(frame) - header;
    if (this.#dead || length < 1 || length > FRAME_MAX) return -Errno.EINVAL;
    if (this.#outEnd + LENGTH_SIZE + length > BUFFER_SIZE) return -Errno.EAGAIN;
    putLength(this.#out, this.#outEnd, length);
    const start = this.#outEnd + LENGTH_SIZE;
    const target = this.#out.subarray(start, start + length);
    copyOut(this.#memory, frame, header, target);
    this.#outEnd = start + length;
    return header + length;
  }

  /** Writes what the socket has room for. */
  #flush(): void {
    let start = 0;
    while (start < this.#outEnd) {
      const part = this.#out.subarray(start, this.#outEnd);
      const written = libc.write_u32(this.fd, part, part.length);
      if (written > 0) start += written;
      else if (written < 0 && errno() === Errno.EAGAIN) break;
      else start = this.#outEnd; // nobody is there: epoll says so, too
    }
    this.#out.copyWithin(0, start, this.#outEnd);
    this.#outEnd -= start;
  }

  /** Length of the next frame if all of it is there, or too long; else -1. */
  #nextLength(): number {
    const bytes = this.#inEnd - this.#inStart;
    if (bytes < LENGTH_SIZE) return -1;
    const length = getLength(this.#in, this.#inStart);
    const whole = bytes - LENGTH_SIZE >= length || length > FRAME_MAX;
    return whole ? length : -1;
  }

  /** Reads what is there: 0, or an errno. */
  #fill(): number {
    if (this.#dead) return Errno.EPIPE;
    this.#in.copyWithin(0, this.#inStart, this.#inEnd);
    this.#inEnd -= this.#inStart;
    this.#inStart = 0;
    const room = this.#in.subarray(this.#inEnd);
    const bytes = libc.read_u32(this.fd, room, room.length);
    if (bytes < 0) return errno();
    if (bytes === 0) return Errno.EPIPE;
    this.#inEnd += bytes;
    return 0;
  }

  /** The other end is out of step: no way back. The link goes down. */
  #giveUp(): number {
    this.#dead = true;
    this.#inStart = this.#inEnd = this.#outEnd = 0;
    shutdownSocket(this.fd, Shut.READ);
    shutdownSocket(this.fd, Shut.WRITE);
    return -Errno.EPIPE;
  }
}

/** Writes the four bytes in front of a frame. */
export function putLength(bytes: Uint8Array, at: number, length: number): void {
  bytes[at] = length >>> 24;
  bytes[at + 1] = length >>> 16;
  bytes[at + 2] = length >>> 8;
  bytes[at + 3] = length;
}

/** Reads them. */
export function getLength(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) |
    (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}
