/**
 * What a block device's requests are doing in its backend: one operation per
 * slot, from its start over short transfers to its status.
 *
 * @module
 */
import { Errno } from "../../../ffi/errno.ts";
import type { BlockBackend } from "../../backends/block/backend.ts";
import { BlkStatus, BlkType } from "./spec.ts";
import type { DescriptorChain } from "../queue/chain.ts";

/** {@linkcode BlkOperations.complete}: the operation goes on. */
export const UNFINISHED = -1;

/** Operations in flight. Nothing is allocated per operation. */
export class BlkOperations {
  /** Whatever is written is on stable storage when it completes. */
  writeThrough = false;
  readonly #backend: BlockBackend;
  readonly #chains: readonly DescriptorChain[];
  // One entry per slot. WRITE_ZEROES here keeps the room, DISCARD gives it
  // back, whatever the driver called it.
  readonly #type: Uint8Array;
  readonly #offset: Float64Array;
  readonly #length: Float64Array;

  /** Operations on `backend`; slot n moves the data of chain n. */
  constructor(backend: BlockBackend, chains: readonly DescriptorChain[]) {
    this.#backend = backend;
    this.#chains = chains;
    this.#type = new Uint8Array(chains.length);
    this.#offset = new Float64Array(chains.length);
    this.#length = new Float64Array(chains.length);
  }

  /** Reads into all of the chain's writable part. */
  read(slot: number, offset: number): void {
    const { iovecs, count, bytes } = this.#chains[slot]!.writable;
    this.#begin(slot, BlkType.IN, offset, bytes);
    this.#backend.readv(slot, iovecs, count, offset);
  }

  /** Writes all of the chain's readable part. */
  write(slot: number, offset: number): void {
    const { iovecs, count, bytes } = this.#chains[slot]!.readable;
    this.#begin(slot, BlkType.OUT, offset, bytes);
    this.#backend.writev(slot, iovecs, count, offset, this.writeThrough);
  }

  /** Makes a range read as zeros; `unmap`: its room is given back. */
  zero(slot: number, offset: number, length: number, unmap: boolean): void {
    const type = unmap ? BlkType.DISCARD : BlkType.WRITE_ZEROES;
    this.#begin(slot, type, offset, length);
    this.#backend.zero(slot, offset, length, unmap);
  }

  /** Makes durable what was written. */
  flush(slot: number): void {
    this.#type[slot] = BlkType.FLUSH;
    this.#length[slot] = 0;
    this.#backend.flush(slot);
  }

  /**
   * The backend has completed an operation with `result`, bytes or -errno.
   * Returns the request's status, or {@linkcode UNFINISHED}.
   */
  complete(slot: number, result: number): number {
    if (result === -Errno.EINTR || result === -Errno.EAGAIN) {
      return this.#continue(slot, 0);
    }
    const type = this.#type[slot]!;
    if (result < 0) return failure(type, result);
    if (type !== BlkType.IN && type !== BlkType.OUT) {
      return this.#completeWithoutData(slot, type);
    }
    const left = type === BlkType.IN
      ? this.#chains[slot]!.writable.bytes
      : this.#chains[slot]!.readable.bytes;
    if (result >= left) return BlkStatus.OK;
    // 0 bytes: the file ends here, it shrank below its advertised size.
    return result === 0 ? BlkStatus.IOERR : this.#continue(slot, result);
  }

  /** Bytes that the slot's operation has put into guest memory. */
  written(slot: number): number {
    return this.#type[slot] === BlkType.IN ? this.#length[slot]! : 0;
  }

  #begin(slot: number, type: number, offset: number, length: number): void {
    this.#type[slot] = type;
    this.#offset[slot] = offset;
    this.#length[slot] = length;
  }

  #completeWithoutData(slot: number, type: number): number {
    if (type === BlkType.FLUSH || !this.writeThrough) return BlkStatus.OK;
    this.flush(slot); // zeros are to be durable, too
    this.#backend.submit();
    return UNFINISHED;
  }

  /** A short or interrupted operation: goes on with the rest. */
  #continue(slot: number, done: number): number {
    const backend = this.#backend;
    const { readable, writable } = this.#chains[slot]!;
    const offset = this.#offset[slot]! += done;
    switch (this.#type[slot]) {
      case BlkType.IN:
        writable.skip(done);
        backend.readv(slot, writable.iovecs, writable.count, offset);
        break;
      case BlkType.OUT: {
        readable.skip(done);
        const { iovecs, count } = readable;
        backend.writev(slot, iovecs, count, offset, this.writeThrough);
        break;
      }
      case BlkType.FLUSH:
        backend.flush(slot);
        break;
      default: {
        const unmap = this.#type[slot] === BlkType.DISCARD;
        backend.zero(slot, offset, this.#length[slot]!, unmap);
      }
    }
    backend.submit();
    return UNFINISHED;
  }
}

/** The status of a request whose operation failed with `result`, -errno. */
function failure(type: number, result: number): number {
  const zeros = type === BlkType.DISCARD || type === BlkType.WRITE_ZEROES;
  return zeros && result === -Errno.EOPNOTSUPP
    ? BlkStatus.UNSUPP
    : BlkStatus.IOERR;
}
