/**
 * Faults of a disk: a backend around another. Only a disk that has them has
 * this.
 *
 * @module
 */
import type { BlockBackend } from "../backends/block/backend.ts";
import { Errno } from "../../ffi/errno.ts";
import { bytesOf, gather, iovecParts, scatter } from "../../ffi/iovec_parts.ts";
import type { Timers } from "../runtime/timers.ts";
import { corrupt, delayOf, type Fate } from "./rules.ts";
import type { Faults, FaultType } from "./rules.ts";

/** Milliseconds after which a request that waits for the next one is done. */
const REORDER_MAX = 10;

interface Request {
  fate: Fate;
  iovecs: number;
  count: number;
}

/** A backend with faults. */
export class FaultyDisk implements BlockBackend {
  readonly readOnly: boolean;
  readonly physicalBlockSize: number;
  readonly completionFd: number;
  result = 0;
  timers: Timers | undefined;
  readonly #inner: BlockBackend;
  readonly #faults: Faults;
  readonly #done: number[] = []; // tag, result, ...
  readonly #fated = new Map<number, Request>(); // by tag, at the inner one
  readonly #late = new Map<number, number>(); // tag to result
  readonly #held: number[] = []; // tag, result, ...: until the next is done
  readonly #stalled = new Map<number, () => void>();

  /** Around `inner`, which it closes. */
  constructor(inner: BlockBackend, faults: Faults) {
    this.#inner = inner;
    this.#faults = faults;
    this.readOnly = inner.readOnly;
    this.physicalBlockSize = inner.physicalBlockSize;
    this.completionFd = inner.completionFd;
  }

  get size(): number {
    return this.#inner.size;
  }

  readv(tag: number, iovecs: number, count: number, offset: number): void {
    const go = () => this.#inner.readv(tag, iovecs, count, offset);
    this.#begin(tag, "read", offset, { iovecs, count }, go);
  }

  writev(
    tag: number,
    iovecs: number,
    count: number,
    offset: number,
    durable: boolean,
  ): void {
    const go = () => this.#inner.writev(tag, iovecs, count, offset, durable);
    this.#begin(tag, "write", offset, { iovecs, count }, go);
  }

  zero(tag: number, offset: number, length: number, unmap: boolean): void {
    const go = () => this.#inner.zero(tag, offset, length, unmap);
    this.#begin(tag, "discard", offset, { length }, go);
  }

  flush(tag: number): void {
    this.#begin(tag, "flush", 0, { length: 0 }, () => this.#inner.flush(tag));
  }

  resize(): void {
    this.#inner.resize();
  }

  submit(): void {
    this.#inner.submit();
  }

  next(): number {
    for (;;) {
      const done = this.#done.shift();
      if (done !== undefined) {
        this.result = this.#done.shift()!;
        return done;
      }
      const tag = this.#inner.next();
      if (tag < 0) return -1;
      const { result } = this.#inner;
      const request = this.#fated.get(tag);
      this.#fated.delete(tag);
      if (request !== undefined) this.#afflict(tag, result, request);
      else {
        this.#done.push(tag, result, ...this.#held.splice(0));
      }
    }
  }

  /** Nothing may be late any more. */
  wait(): void {
    const stalled = this.#stalled.size > 0;
    this.goOn();
    for (const [tag, result] of this.#late) this.#done.push(tag, result);
    this.#late.clear();
    this.#done.push(...this.#held.splice(0));
    if (stalled) this.#inner.submit();
    if (this.#done.length === 0) this.#inner.wait();
  }

  enable(): boolean {
    return this.#inner.enable() || this.#done.length > 0;
  }

  acknowledge(): void {
    this.#inner.acknowledge();
  }

  close(): void {
    this.#inner.close();
  }

  #begin(
    tag: number,
    type: FaultType,
    offset: number,
    of: { length: number } | { iovecs: number; count: number },
    go: () => void,
  ): void {
    const length = "length" in of
      ? of.length
      : bytesOf(iovecParts(of.iovecs, of.count));
    const fate = this.#faults.next(type, offset, length);
    switch (fate?.effect) {
      case undefined:
        return go();
      case "error":
        this.#done.push(tag, -Errno[fate!.rule.errno ?? "EIO"]);
        return;
      case "drop":
        this.#done.push(tag, length);
        return;
      case "stall":
        this.#stalled.set(tag, go);
        return;
      default:
        this.#fated.set(tag, { iovecs: 0, count: 0, ...of, fate: fate! });
        return go();
    }
  }

  /** The inner one is done with a request that has a fate. */
  #afflict(tag: number, result: number, { fate, iovecs, count }: Request) {
    switch (fate.effect) {
      case "short":
        this.#done.push(tag, Math.min(result, fate.rule.bytes ?? 512));
        return;
      case "delay":
        this.#late.set(tag, result);
        this.timers!.set(delayOf(fate), () => {
          if (this.#late.delete(tag)) this.#done.push(tag, result);
        });
        return;
      case "reorder":
        this.#held.push(tag, result);
        this.timers!.set(
          REORDER_MAX,
          () => this.#done.push(...this.#held.splice(0)),
        );
        return;
      case "corrupt":
        if (result > 0) {
          const parts = iovecParts(iovecs, count);
          const bytes = gather(parts, result);
          corrupt(bytes, 0, fate);
          scatter(parts, bytes);
        }
    }
    this.#done.push(tag, result);
  }

  /** What was stalled is begun. */
  goOn(): void {
    if (this.#stalled.size === 0) return;
    const all = [...this.#stalled.values()];
    this.#stalled.clear();
    for (const go of all) go();
    this.#inner.submit();
  }
}
