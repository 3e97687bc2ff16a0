/**
 * What a block device reads and writes. It knows nothing of virtio.
 *
 * @module
 */

/**
 * Storage with asynchronous vectored I/O. Offsets and lengths are in bytes;
 * tags name requests and come back from {@linkcode BlockBackend.next}.
 */
export interface BlockBackend {
  /** Size in bytes, a multiple of 512; {@linkcode BlockBackend.resize}. */
  readonly size: number;
  /** Writes are refused. */
  readonly readOnly: boolean;
  /** What is best aligned to in bytes: a power of two, 512 or more. */
  readonly physicalBlockSize: number;
  /** Becomes readable when completions wait, or -1. */
  readonly completionFd: number;
  /** Bytes or -errno of the request that `next` returned. */
  readonly result: number;
  /** Reads into `count` iovecs at host address `iovecs`. */
  readv(tag: number, iovecs: number, count: number, offset: number): void;
  /** Writes from iovecs; `durable`: onto stable storage. */
  writev(
    tag: number,
    iovecs: number,
    count: number,
    offset: number,
    durable: boolean,
  ): void;
  /**
   * Makes `length` bytes read as zeros. With `unmap` their room is given back.
   * The result is 0, or -EOPNOTSUPP where the storage can't.
   */
  zero(tag: number, offset: number, length: number, unmap: boolean): void;
  /** Puts completed writes on stable storage. */
  flush(tag: number): void;
  /**
   * Looks for the size anew; what is larger or smaller now is the storage's
   * owner's doing.
   *
   * @throws {VireoError} when it is no multiple of 512
   */
  resize(): void;
  /** Starts what was queued, in one batch. */
  submit(): void;
  /**
   * The tag of a completed request, or -1. Completions are signalled through
   * `completionFd` only after {@linkcode BlockBackend.enable}.
   */
  next(): number;
  /** Blocks until a completion waits. Only with requests in flight. */
  wait(): void;
  /**
   * Asks for a signal at the next completion, until the next `submit`. True
   * when completions wait already.
   */
  enable(): boolean;
  /** Sets the completion descriptor back to "nothing waits". */
  acknowledge(): void;
  /** Frees what the backend holds. Nothing may be in flight. */
  close(): void;
}
