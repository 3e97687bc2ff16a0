/**
 * A disk in memory for tests: it completes in any order, when told to, and
 * fails as told.
 *
 * @module
 */
import { closeFd } from "../../../ffi/file.ts";
import {
  createEventFd,
  drainEventFd,
  signalEventFd,
} from "../../../ffi/eventfd.ts";
import type { GuestMemory } from "../../../guest/memory.ts";
import {
  gather,
  guestBytes,
  readIovecs,
  scatter,
} from "../../../guest/testing/iovecs.ts";
import type { BlockBackend } from "../block/backend.ts";

/** One operation that a device has asked for. */
export interface MemoryOperation {
  /** What to do. */
  kind: "readv" | "writev" | "flush" | "discard" | "zero";
  /** The device's name for it. */
  tag: number;
  /** Where in the disk, in bytes. */
  offset: number;
  /** The guest's memory, checked; empty where no data is moved. */
  ranges: Uint8Array<ArrayBuffer>[];
  /** A write is to be on stable storage when it completes. */
  durable?: boolean;
  /** Bytes to make zero. */
  length?: number;
}

/** How the disk is made. */
export interface MemoryBackendOptions {
  /** Writes are refused; default false. */
  readOnly?: boolean;
}

/**
 * A disk in memory. Data moves when an operation completes, not when it is
 * asked for, as on real hardware.
 */
export class MemoryBackend implements BlockBackend {
  size: number;
  readonly readOnly: boolean;
  readonly physicalBlockSize = 4096;
  /** What {@linkcode BlockBackend.resize} finds. */
  newSize: number;
  readonly completionFd: number = createEventFd();
  result = 0;
  /** What is on the disk. */
  readonly content: Uint8Array<ArrayBuffer>;
  /** Every operation so far, in the order of submission. */
  readonly operations: MemoryOperation[] = [];
  /** Operations that have not completed. */
  readonly inFlight: MemoryOperation[] = [];
  /** How often a batch with at least one operation was submitted. */
  batches = 0;
  /** True: nothing completes before {@linkcode release}. */
  held = false;
  /** Bytes or -errno for an operation; undefined lets it succeed. */
  answer: (operation: MemoryOperation) => number | undefined = () => undefined;
  /** Nothing is open any more. */
  closed = false;
  readonly #memory: GuestMemory;
  readonly #queued: MemoryOperation[] = [];
  readonly #done: [tag: number, result: number][] = [];

  /** A disk of `size` zeros for the guest that has `memory`. */
  constructor(
    memory: GuestMemory,
    size: number,
    options: MemoryBackendOptions = {},
  ) {
    this.#memory = memory;
    this.size = size;
    this.newSize = size;
    this.readOnly = options.readOnly ?? false;
    this.content = new Uint8Array(size);
  }

  readv(tag: number, iovecs: number, count: number, offset: number): void {
    this.#queue("readv", tag, offset, iovecs, count);
  }

  writev(
    tag: number,
    iovecs: number,
    count: number,
    offset: number,
    durable: boolean,
  ): void {
    if (this.readOnly) throw new Error("a write to a read-only disk");
    this.#queue("writev", tag, offset, iovecs, count);
    this.#queued.at(-1)!.durable = durable;
  }

  zero(tag: number, offset: number, length: number, unmap: boolean): void {
    if (this.readOnly) throw new Error("zeros on a read-only disk");
    const kind = unmap ? "discard" : "zero";
    this.#queued.push({ kind, tag, offset, ranges: [], length });
  }

  resize(): void {
    this.size = this.newSize;
  }

  flush(tag: number): void {
    this.#queued.push({ kind: "flush", tag, offset: 0, ranges: [] });
  }

  submit(): void {
    if (this.#queued.length === 0) return;
    this.batches++;
    this.operations.push(...this.#queued);
    this.inFlight.push(...this.#queued.splice(0));
    if (!this.held) this.#completeAll();
  }

  /**
   * Completes operation `index` of those in flight (the oldest: 0), and
   * signals. Without an index: all of them, the newest first.
   */
  release(index?: number): void {
    if (index === undefined) {
      while (this.inFlight.length > 0) {
        this.#complete(this.inFlight.length - 1);
      }
    } else {
      this.#complete(index);
    }
    signalEventFd(this.completionFd);
  }

  next(): number {
    const done = this.#done.shift();
    if (done === undefined) return -1;
    this.result = done[1];
    return done[0];
  }

  /** The oldest completes. */
  wait(): void {
    if (this.#done.length > 0) return;
    if (this.inFlight.length === 0) throw new Error("waits for nothing");
    this.#complete(0);
  }

  enable(): boolean {
    return this.#done.length > 0;
  }

  acknowledge(): void {
    drainEventFd(this.completionFd);
  }

  close(): void {
    this.closed = true;
    closeFd(this.completionFd);
  }

  #queue(
    kind: "readv" | "writev",
    tag: number,
    offset: number,
    iovecs: number,
    count: number,
  ): void {
    const ranges = readIovecs(iovecs, count)
      .map((iovec) => guestBytes(this.#memory, iovec));
    this.#queued.push({ kind, tag, offset, ranges });
  }

  #completeAll(): void {
    while (this.inFlight.length > 0) this.#complete(0);
  }

  #complete(index: number): void {
    const [operation] = this.inFlight.splice(index, 1);
    if (operation === undefined) throw new RangeError("nothing in flight");
    const limit = this.answer(operation);
    const result = limit !== undefined && limit < 0
      ? limit
      : this.#transfer(operation, limit ?? Infinity);
    this.#done.push([operation.tag, result]);
  }

  #transfer(
    { kind, offset, ranges, length = 0 }: MemoryOperation,
    limit: number,
  ): number {
    if (kind === "flush") return 0;
    if (kind === "discard" || kind === "zero") {
      this.content.fill(0, offset, offset + length);
      return 0;
    }
    const disk = this.content.subarray(offset);
    if (kind === "readv") return scatter(disk.subarray(0, limit), ranges);
    const bytes = gather(ranges).subarray(0, limit).subarray(0, disk.length);
    disk.set(bytes);
    return bytes.length;
  }
}
