/**
 * A disk whose bytes come from a module of the user's. Its methods may return
 * promises: a request is done when its promise is kept.
 *
 * @module
 */
import { Errno } from "../../../ffi/errno.ts";
import { EventFd } from "../../../ffi/eventfd.ts";
import { VireoError } from "../../../ffi/error.ts";
import {
  bytesOf,
  gather,
  iovecParts,
  scatter,
} from "../../../ffi/iovec_parts.ts";
import type { OwnCode } from "../../own/code.ts";
import type { OwnContext } from "../../own/context.ts";
import { checkFilled, whenKept } from "../../own/outstanding.ts";
import type { BlockBackend } from "./backend.ts";
import { SECTOR } from "./image.ts";

/**
 * What a drive's `backend` is: the default export is a class of such objects.
 * Offsets and lengths are in bytes, multiples of 512, and within `size`.
 */
export interface DiskModule {
  /** Bytes, a multiple of 512; looked at after `open`, and for a new size. */
  readonly size: number;
  /** Default: it is, if it has no `write`. */
  readonly readOnly?: boolean;
  /** Before anything else. */
  open?(context: OwnContext): void | Promise<void>;
  /** Fills `bytes` with what is at `offset`. */
  read(offset: number, bytes: Uint8Array): void | Promise<void>;
  /** Takes `bytes`, which are the module's to keep. */
  write?(offset: number, bytes: Uint8Array): void | Promise<void>;
  /** What was written is to be on stable storage. */
  flush?(): void | Promise<void>;
  /** The range reads as zeros from now on; its room may be given back. */
  discard?(offset: number, length: number): void | Promise<void>;
  /** Releases what it holds. */
  close?(): void;
}

/** A backend over a {@linkcode DiskModule}. */
export class ModuleBackend implements BlockBackend {
  size: number;
  readonly readOnly: boolean;
  readonly physicalBlockSize: number = SECTOR;
  readonly completionFd: number;
  result = 0;
  readonly #module: DiskModule;
  readonly #own: OwnCode;
  readonly #done = new EventFd();
  readonly #completed: number[] = []; // tag, result, ...
  // What is in flight, by tag: the object tells it from a later one.
  readonly #inFlight = new Map<number, object>();

  /** Storage on `module`, which is open, and whose code is `own`. */
  constructor(module: DiskModule, own: OwnCode, readOnly: boolean) {
    this.#module = module;
    this.#own = own;
    this.size = checkedSize(module.size, own.url);
    this.readOnly = readOnly || (module.readOnly ?? module.write === undefined);
    this.completionFd = this.#done.fd;
  }

  /** Requests whose promises are not kept. */
  get waiting(): number {
    return this.#inFlight.size;
  }

  readv(tag: number, iovecs: number, count: number, offset: number): void {
    const parts = iovecParts(iovecs, count);
    const bytes = new Uint8Array(bytesOf(parts));
    this.#begin(tag, () => this.#module.read(offset, bytes), (returned) => {
      checkFilled("read", returned, bytes);
      scatter(parts, bytes);
      return bytes.length;
    });
  }

  writev(
    tag: number,
    iovecs: number,
    count: number,
    offset: number,
    durable: boolean,
  ): void {
    const parts = iovecParts(iovecs, count);
    const length = bytesOf(parts);
    const bytes = gather(parts, length); // the module's to keep
    const write = () => this.#module.write!(offset, bytes);
    const step = durable
      ? async () => {
        await write();
        await this.#module.flush?.();
      }
      : write;
    this.#begin(tag, step, () => length);
  }

  zero(tag: number, offset: number, length: number, _unmap: boolean): void {
    const { discard } = this.#module;
    if (discard === undefined) return this.#complete(tag, -Errno.EOPNOTSUPP);
    this.#begin(tag, () => this.#module.discard!(offset, length), () => 0);
  }

  flush(tag: number): void {
    this.#begin(tag, () => this.#module.flush?.(), () => 0);
  }

  resize(): void {
    this.size = checkedSize(this.#module.size, this.#own.url);
  }

  submit(): void {}

  next(): number {
    const tag = this.#completed.shift();
    if (tag === undefined) return -1;
    this.result = this.#completed.shift()!;
    return tag;
  }

  /** No promise is kept while a thread waits: what is in flight has failed. */
  wait(): void {
    for (const tag of this.#inFlight.keys()) {
      this.#completed.push(tag, -Errno.EIO);
    }
    this.#inFlight.clear();
  }

  enable(): boolean {
    return this.#completed.length > 0;
  }

  acknowledge(): void {
    this.#done.drain();
  }

  close(): void {
    this.#own.close();
    this.#done.close();
    this.#inFlight.clear();
    this.#module.close?.();
  }

  /** `end` gives the result of what `step` has done. */
  #begin(
    tag: number,
    step: () => unknown,
    end: (returned: unknown) => number,
  ): void {
    try {
      const result = step();
      if (!(result instanceof Promise)) return this.#complete(tag, end(result));
      const request = {};
      this.#inFlight.set(tag, request);
      const over = (result: () => number) => {
        if (this.#inFlight.get(tag) !== request) return; // given up
        const done = result(); // or it has failed after all
        this.#inFlight.delete(tag);
        this.#complete(tag, done);
        this.#done.signal();
      };
      const kept = (returned: unknown) => over(() => end(returned));
      whenKept(this.#own.name, result, kept, (error) =>
        over(() => {
          this.#own.fail(error);
          return -Errno.EIO;
        }));
    } catch (error) {
      this.#own.fail(error);
      this.#complete(tag, -Errno.EIO);
    }
  }

  #complete(tag: number, result: number): void {
    this.#completed.push(tag, result);
  }
}

/** @throws {VireoError} it is no size of a disk */
function checkedSize(size: unknown, module: string): number {
  const fits = typeof size === "number" && Number.isSafeInteger(size) &&
    size > 0 && size % SECTOR === 0;
  if (fits) return size;
  throw new VireoError(
    `disk ${module}: size ${size} is no multiple of ${SECTOR} above 0`,
  );
}
