/**
 * A network in memory for tests: frames are arrays.
 *
 * @module
 */
import { Errno } from "../../ffi/errno.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import type { GuestMemory } from "../../guest/memory.ts";
import { viewOf } from "../../ffi/mmap.ts";
import {
  gather,
  guestBytes,
  type Iovec,
  readIovecs,
  scatter,
} from "../../guest/testing_iovecs.ts";
import type { NetBackend } from "./backend.ts";

/** A backend that keeps what the guest sends, and sends what it is told to. */
export class MemoryNet implements NetBackend {
  /** See {@linkcode NetBackend.fd}. */
  readonly fd: number;
  /** See {@linkcode NetBackend.mtu}. */
  readonly mtu: number;
  /** Frames from the guest, with their headers. */
  readonly sent: Uint8Array<ArrayBuffer>[] = [];
  /** Frames for the guest that it has not taken. */
  readonly waiting: Uint8Array[] = [];
  /** Frames that can be sent before the backend has no room. */
  room = Infinity;
  /** What the next sends and receives fail with; then they work again. */
  readonly failures: number[] = [];
  /** How often a frame was asked for. */
  receives = 0;
  /** What the guest was last said to accept. */
  offload = -1;
  readonly #memory: GuestMemory;
  readonly #readable = new EventFd();
  #spill: Iovec | undefined;
  #spillBytes: Uint8Array<ArrayBuffer> | undefined;

  /** A network for the guest that has `memory`. */
  constructor(memory: GuestMemory, mtu = 1500) {
    this.#memory = memory;
    this.mtu = mtu;
    this.fd = this.#readable.fd;
  }

  /** Frames for the guest, with their headers. */
  deliver(...frames: Uint8Array[]): void {
    this.waiting.push(...frames);
    this.#readable.signal();
  }

  /** See {@linkcode NetBackend.send}. */
  send(iovecs: Deno.PointerValue, count: number): number {
    const ranges = readIovecs(iovecs, count)
      .map((iovec) => guestBytes(this.#memory, iovec));
    const failure = this.failures.shift();
    if (failure !== undefined) return -failure;
    if (this.room <= 0) return -Errno.EAGAIN;
    this.room--;
    const frame = gather(ranges);
    this.sent.push(frame);
    return frame.length;
  }

  /** See {@linkcode NetBackend.receive}; as a TAP does, it cuts frames off. */
  receive(iovecs: Deno.PointerValue, count: number): number {
    this.receives++;
    const targets = this.#targets(iovecs, count);
    const failure = this.failures.shift();
    if (failure !== undefined) return -failure;
    const frame = this.waiting.shift();
    if (this.waiting.length === 0) this.#readable.drain();
    return frame === undefined ? -Errno.EAGAIN : scatter(frame, targets);
  }

  /** See {@linkcode NetBackend.setOffload}. */
  setOffload(offload: number): boolean {
    this.offload = offload;
    return true;
  }

  /** Closes the descriptor. */
  close(): void {
    this.#readable.close();
  }

  /** `using` support. */
  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Where a frame goes: guest RAM, and at the very end a spill of the
   * device's own, always the same. Anything else throws.
   */
  #targets(
    iovecs: Deno.PointerValue,
    count: number,
  ): Uint8Array<ArrayBuffer>[] {
    const given = readIovecs(iovecs, count);
    const last = given.pop()!;
    const ranges = given.map((iovec) => guestBytes(this.#memory, iovec));
    this.#spill ??= last;
    if (last.base !== this.#spill.base || last.length !== this.#spill.length) {
      throw new Error("the last iovec is not the device's spill");
    }
    this.#spillBytes ??= new Uint8Array(viewOf(last.base, last.length));
    return [...ranges, this.#spillBytes];
  }
}
