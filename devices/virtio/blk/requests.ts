/**
 * Block requests (virtio 1.2 §5.2.6), each a row of one table from the
 * driver's chain to its status byte: what is asked for is read out of the
 * header, started at the backend, gone on with after short transfers, and
 * finished.
 *
 * Data goes straight between guest memory and the backend.
 *
 * @module
 */
import { Errno, VireoError } from "../../../ffi/errno.ts";
import type { BlockBackend } from "../../backends/block/backend.ts";
import type { DeviceContext } from "../device.ts";
import type { ChainPart, DescriptorChain } from "../queue/chain.ts";
import type { VirtQueue } from "../queue/queue.ts";
import {
  BLK_HEADER_SIZE,
  BLK_ID_SIZE,
  BLK_SEGMENT_SIZE,
  BlkStatus,
  BlkType,
  MAX_ZERO_SECTORS,
  SECTOR_SIZE,
  SEGMENT_UNMAP,
} from "./spec.ts";

const TWO_32 = 0x1_0000_0000;

/** What requests are carried out with. */
export interface BlkRequestsOptions {
  /** What GET_ID answers: {@linkcode BLK_ID_SIZE} bytes. */
  id: Uint8Array;
  /** FLUSH is offered. */
  flush: boolean;
  /** Requests in flight, at most, of all queues together. */
  slots: number;
}

/** The requests of one device. Nothing is allocated per request. */
export class BlkRequests {
  /** Whatever is written is on stable storage when it completes. */
  writeThrough = false;
  readonly #backend: BlockBackend;
  readonly #context: DeviceContext;
  readonly #id: Uint8Array;
  readonly #flush: boolean;
  // struct virtio_blk_req: type, reserved, sector (low, high)
  readonly #header = new Uint32Array(BLK_HEADER_SIZE / 4);
  readonly #headerBytes = new Uint8Array(this.#header.buffer);
  // The table. A slot is a request in flight, and its chain.
  readonly #chains: readonly DescriptorChain[];
  readonly #queue: Uint8Array;
  // WRITE_ZEROES here keeps the room, DISCARD gives it back, whatever the
  // driver called it.
  readonly #type: Uint8Array;
  readonly #offset: Float64Array;
  readonly #length: Float64Array;
  readonly #statusAddress: Float64Array;
  readonly #free: Uint16Array;
  #freeCount: number;
  #pushed = false; // and not published

  /** Requests of the device with `context` to `backend`. */
  constructor(
    backend: BlockBackend,
    context: DeviceContext,
    { id, flush, slots }: BlkRequestsOptions,
  ) {
    this.#backend = backend;
    this.#context = context;
    this.#id = id;
    this.#flush = flush;
    this.#chains = context.queues[0]!.chains(slots);
    this.#queue = new Uint8Array(slots);
    this.#type = new Uint8Array(slots);
    this.#offset = new Float64Array(slots);
    this.#length = new Float64Array(slots);
    this.#statusAddress = new Float64Array(slots);
    this.#free = Uint16Array.from({ length: slots }, (_, slot) => slot);
    this.#freeCount = slots;
  }

  /** Requests that may be started now. */
  get free(): number {
    return this.#freeCount;
  }

  /** Requests that were started and are not finished. */
  get inFlight(): number {
    return this.#chains.length - this.#freeCount;
  }

  /** The chain of the next request; undefined when none is free. */
  get chain(): DescriptorChain | undefined {
    return this.#freeCount > 0
      ? this.#chains[this.#free[this.#freeCount - 1]!]
      : undefined;
  }

  /**
   * Starts the request that {@linkcode chain} now has: header, data, and one
   * status byte at the very end. It goes to the host at {@linkcode flush}.
   */
  start({ readable, writable }: DescriptorChain, queue: VirtQueue): void {
    const slot = this.#free[--this.#freeCount]!;
    if (!this.#readHeader(readable) || writable.bytes === 0) {
      // No place for a status: nothing to tell this request.
      this.#context.needsReset("blk: request without header or status");
      return this.#release(slot);
    }
    readable.skip(BLK_HEADER_SIZE);
    this.#queue[slot] = queue.index;
    this.#statusAddress[slot] = writable.takeLast();
    const sector = this.#header[2]! + this.#header[3]! * TWO_32;
    const type = this.#header[0]!;
    const bytes = readable.bytes + writable.bytes;
    this.#context.record?.began(slot, queue.index, type, sector, bytes);
    switch (type) {
      case BlkType.IN:
        return this.#startIn(slot, writable, sector);
      case BlkType.OUT:
        return this.#startOut(slot, readable, sector);
      case BlkType.FLUSH:
        if (!this.#flush) return this.#finish(slot, BlkStatus.UNSUPP, 0);
        return this.#begin(slot, BlkType.FLUSH, 0, 0);
      case BlkType.GET_ID:
        return this.#getId(slot, writable);
      case BlkType.DISCARD:
      case BlkType.WRITE_ZEROES:
        return this.#startZero(slot, readable, type);
      default:
        return this.#finish(slot, BlkStatus.UNSUPP, 0);
    }
  }

  /** False when the readable part is too short for a header. */
  #readHeader(readable: ChainPart): boolean {
    const { memory } = this.#context;
    if (readable.bytes < BLK_HEADER_SIZE) return false;
    const address = readable.guestAddress;
    if (readable.firstLength < BLK_HEADER_SIZE || (address & 3) !== 0) {
      return readable.peek(memory, this.#headerBytes, BLK_HEADER_SIZE);
    }
    // As drivers have it: in one piece, and aligned.
    const { guestAddress, u32 } = memory.find(address, BLK_HEADER_SIZE)!;
    const first = (address - guestAddress) / 4;
    const header = this.#header;
    header[0] = u32[first]!;
    header[2] = u32[first + 2]!;
    header[3] = u32[first + 3]!;
    return true;
  }

  #startIn(slot: number, { bytes }: ChainPart, sector: number): void {
    if (!this.#inRange(sector, bytes)) {
      return this.#finish(slot, BlkStatus.IOERR, 0);
    }
    this.#begin(slot, BlkType.IN, sector * SECTOR_SIZE, bytes);
  }

  #startOut(slot: number, { bytes }: ChainPart, sector: number): void {
    if (this.#backend.readOnly || !this.#inRange(sector, bytes)) {
      return this.#finish(slot, BlkStatus.IOERR, 0);
    }
    this.#begin(slot, BlkType.OUT, sector * SECTOR_SIZE, bytes);
  }

  #getId(slot: number, writable: ChainPart): void {
    if (writable.bytes < BLK_ID_SIZE) {
      return this.#finish(slot, BlkStatus.IOERR, 0);
    }
    const { memory } = this.#context;
    this.#finish(slot, BlkStatus.OK, writable.poke(memory, this.#id));
  }

  /** DISCARD and WRITE_ZEROES, which have one segment. */
  #startZero(
    slot: number,
    readable: ChainPart,
    type: typeof BlkType.DISCARD | typeof BlkType.WRITE_ZEROES,
  ): void {
    if (this.#backend.readOnly || readable.bytes !== BLK_SEGMENT_SIZE) {
      return this.#finish(slot, BlkStatus.IOERR, 0);
    }
    readable.peek(this.#context.memory, this.#headerBytes, BLK_SEGMENT_SIZE);
    const sector = this.#header[0]! + this.#header[1]! * TWO_32;
    const sectors = this.#header[2]!;
    const flags = this.#header[3]!;
    const known = type === BlkType.WRITE_ZEROES ? SEGMENT_UNMAP : 0;
    if (flags & ~known) return this.#finish(slot, BlkStatus.UNSUPP, 0);
    const bytes = sectors * SECTOR_SIZE;
    if (sectors > MAX_ZERO_SECTORS || !this.#inRange(sector, bytes)) {
      return this.#finish(slot, BlkStatus.IOERR, 0);
    }
    const unmap = type === BlkType.DISCARD || flags === SEGMENT_UNMAP;
    const operation = unmap ? BlkType.DISCARD : BlkType.WRITE_ZEROES;
    this.#begin(slot, operation, sector * SECTOR_SIZE, bytes);
  }

  /** §5.2.6.1: whole sectors, within the capacity. */
  #inRange(sector: number, bytes: number): boolean {
    return bytes > 0 && bytes % SECTOR_SIZE === 0 &&
      sector * SECTOR_SIZE + bytes <= this.#backend.size;
  }

  #begin(slot: number, type: number, offset: number, length: number): void {
    this.#type[slot] = type;
    this.#offset[slot] = offset;
    this.#length[slot] = length;
    this.#operate(slot);
  }

  /** Queues what is left to do of a request, which at first is all of it. */
  #operate(slot: number): void {
    const backend = this.#backend;
    const offset = this.#offset[slot]!;
    switch (this.#type[slot]) {
      case BlkType.IN: {
        const { iovecs, count } = this.#chains[slot]!.writable;
        return backend.readv(slot, iovecs, count, offset);
      }
      case BlkType.OUT: {
        const { iovecs, count } = this.#chains[slot]!.readable;
        return backend.writev(slot, iovecs, count, offset, this.writeThrough);
      }
      case BlkType.FLUSH:
        return backend.flush(slot);
      case BlkType.DISCARD:
        return backend.zero(slot, offset, this.#length[slot]!, true);
      case BlkType.WRITE_ZEROES:
        return backend.zero(slot, offset, this.#length[slot]!, false);
    }
  }

  /** Gives the host what was started, in one batch, and takes what is done. */
  flush(last = true): void {
    this.#backend.submit();
    this.complete(last);
  }

  /** Finishes what is completed, and shows it; the `last` interrupts. */
  complete(last = true): void {
    const backend = this.#backend;
    for (let slot = backend.next(); slot >= 0; slot = backend.next()) {
      this.#complete(slot, backend.result);
    }
    if (!this.#pushed) return;
    this.#pushed = !last;
    const { queues } = this.#context;
    for (let i = 0; i < queues.length; i++) {
      if (last) this.#context.publish(queues[i]!);
      else if (queues[i]!.publish()) queues[i]!.interruptOwed = true;
    }
  }

  /** Waits for all that is in flight, and shows it to the driver. */
  finish(): void {
    for (this.flush(); this.inFlight > 0; this.flush()) this.#backend.wait();
  }

  /**
   * Waits for all that is in flight. The guest does not see the end of what it
   * has asked for through `queue`, or, without one, of anything.
   */
  drop(queue?: VirtQueue): void {
    const backend = this.#backend;
    while (this.inFlight > 0) {
      backend.submit();
      let slot = backend.next();
      if (slot < 0) backend.wait();
      for (; slot >= 0; slot = backend.next()) {
        const others = queue && this.#queue[slot] !== queue.index;
        if (others) this.#complete(slot, backend.result);
        else this.#release(slot);
      }
    }
    if (queue) this.complete(); // shows what belongs to other queues
  }

  /** The operation of `slot` has come to `result`, bytes or -errno. */
  #complete(slot: number, result: number): void {
    if (result === -Errno.EINTR || result === -Errno.EAGAIN) {
      return this.#goOn(slot);
    }
    const type = this.#type[slot]!;
    if (result < 0) return this.#finish(slot, failure(type, result), 0);
    const { readable, writable } = this.#chains[slot]!;
    switch (type) {
      case BlkType.IN:
        if (result < writable.bytes) return this.#short(slot, writable, result);
        return this.#finish(slot, BlkStatus.OK, this.#length[slot]!);
      case BlkType.OUT:
        if (result < readable.bytes) return this.#short(slot, readable, result);
        break;
      case BlkType.DISCARD:
      case BlkType.WRITE_ZEROES:
        if (!this.writeThrough) break;
        this.#type[slot] = BlkType.FLUSH; // zeros are to be durable, too
        return this.#goOn(slot);
    }
    this.#finish(slot, BlkStatus.OK, 0);
  }

  /** `done` bytes were transferred, and not all of `part`. */
  #short(slot: number, part: ChainPart, done: number): void {
    // 0 bytes: the file ends here, it shrank below its advertised size.
    if (done === 0) return this.#finish(slot, BlkStatus.IOERR, 0);
    part.skip(done);
    this.#offset[slot]! += done;
    this.#goOn(slot);
  }

  #goOn(slot: number): void {
    this.#operate(slot);
    this.#backend.submit();
  }

  /** Writes the status byte and gives the chain back. */
  #finish(slot: number, status: number, written: number): void {
    const address = this.#statusAddress[slot]!;
    const region = this.#context.memory.find(address, 1)!;
    region.u8[address - region.guestAddress] = status;
    // §2.7.8.2: the status byte is written, too.
    const { head } = this.#chains[slot]!;
    this.#context.queues[this.#queue[slot]!]!.push(head, written + 1);
    this.#pushed = true;
    this.#release(slot, status);
  }

  #release(slot: number, status = -1): void {
    this.#context.record?.ended(slot, status);
    this.#free[this.#freeCount++] = slot;
  }
}

/** The status of a request whose operation failed with `result`, -errno. */
function failure(type: number, result: number): number {
  const zeros = type === BlkType.DISCARD || type === BlkType.WRITE_ZEROES;
  // The chain is in RAM: the host has lost a page of it.
  if (result === -Errno.EFAULT) throw new VireoError("guest memory: EFAULT");
  // EINVAL: a device with larger blocks than the request. Drivers then write.
  const cannot = result === -Errno.EOPNOTSUPP || result === -Errno.EINVAL;
  return zeros && cannot ? BlkStatus.UNSUPP : BlkStatus.IOERR;
}
