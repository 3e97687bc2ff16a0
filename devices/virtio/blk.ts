/**
 * The block device (virtio 1.2 §5.2).
 *
 * A request's data goes by one vectored I/O operation straight between guest
 * memory and the backend; requests are submitted in one batch per doorbell
 * and complete in any order.
 *
 * @module
 */
import { Errno } from "../../ffi/errno.ts";
import type { BlockBackend } from "../block/backend.ts";
import type { Watcher } from "../event_loop.ts";
import { type ChainPart, ChainPool, type DescriptorChain } from "./chain.ts";
import type { DeviceContext, VirtioDevice } from "./device.ts";
import type { VirtQueue } from "./queue.ts";
import { DeviceId, Feature, type FeatureWords, featureWords } from "./spec.ts";

/** Feature bits (§5.2.3). */
export const BlkFeature = {
  SEG_MAX: 2,
  RO: 5,
  BLK_SIZE: 6,
  FLUSH: 9,
} as const;

/** Request types (§5.2.6). */
export const BlkType = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8 } as const;

/** Request status values (§5.2.6). */
export const BlkStatus = { OK: 0, IOERR: 1, UNSUPP: 2 } as const;

/** Offsets in `struct virtio_blk_config` (§5.2.4). */
export const BlkConfig = {
  capacity: 0,
  seg_max: 12,
  blk_size: 20,
  SIZE: 60,
} as const;

const QUEUE_SIZE = 256;
/** Looks at the ring per turn, so that one device doesn't starve the others. */
const ROUNDS = 4;
const HEADER_SIZE = 16; // struct virtio_blk_req: le32 type, reserved; le64 sector
const SECTOR_SIZE = 512;
const ID_SIZE = 20;
const TWO_32 = 0x1_0000_0000;

/** What a disk offers beyond reading and writing. */
export interface BlkOptions {
  /** Offer FLUSH; default true. */
  flush?: boolean;
}

/** A virtio block device over a backend. */
export class Blk implements VirtioDevice, Watcher {
  /** See {@linkcode VirtioDevice.deviceId}. */
  readonly deviceId: number = DeviceId.BLOCK;
  /** See {@linkcode VirtioDevice.features}. */
  readonly features: FeatureWords;
  /** See {@linkcode VirtioDevice.queueSizes}. */
  readonly queueSizes: readonly number[] = [QUEUE_SIZE];
  /** See {@linkcode VirtioDevice.config}. */
  readonly config: Uint8Array;
  readonly #backend: BlockBackend;
  readonly #id: Uint8Array;
  readonly #flush: boolean;
  readonly #pool = new ChainPool(QUEUE_SIZE, QUEUE_SIZE);
  // struct virtio_blk_req: type, reserved, sector (low, high)
  readonly #header = new Uint32Array(HEADER_SIZE / 4);
  readonly #headerBytes = new Uint8Array(this.#header.buffer);
  // One entry per slot. A slot is a request in flight and its chain.
  readonly #type = new Uint8Array(QUEUE_SIZE);
  readonly #offset = new Float64Array(QUEUE_SIZE);
  readonly #length = new Float64Array(QUEUE_SIZE);
  readonly #statusAddress = new Float64Array(QUEUE_SIZE);
  readonly #free = new Uint16Array(QUEUE_SIZE);
  #freeCount = QUEUE_SIZE;
  #context!: DeviceContext;
  #pushed = false;

  /** A disk on `backend`; GET_ID answers `id`, at most 20 bytes of ASCII. */
  constructor(backend: BlockBackend, id: string, options: BlkOptions = {}) {
    const { flush = true } = options;
    this.#backend = backend;
    this.#flush = flush;
    this.#id = new Uint8Array(ID_SIZE);
    new TextEncoder().encodeInto(id, this.#id);
    this.features = featureWords(
      Feature.INDIRECT_DESC,
      Feature.EVENT_IDX,
      BlkFeature.SEG_MAX,
      BlkFeature.BLK_SIZE,
      ...(flush ? [BlkFeature.FLUSH] : []),
      ...(backend.readOnly ? [BlkFeature.RO] : []),
    );
    const config = new DataView(new ArrayBuffer(BlkConfig.SIZE));
    const capacity = BigInt(backend.size / SECTOR_SIZE);
    config.setBigUint64(BlkConfig.capacity, capacity, true);
    config.setUint32(BlkConfig.seg_max, QUEUE_SIZE - 2, true);
    config.setUint32(BlkConfig.blk_size, backend.blockSize, true);
    this.config = new Uint8Array(config.buffer);
    for (let slot = 0; slot < QUEUE_SIZE; slot++) this.#free[slot] = slot;
  }

  /** See {@linkcode VirtioDevice.attach}. */
  attach(context: DeviceContext): void {
    this.#context = context;
    const { completionFd } = this.#backend;
    if (completionFd >= 0) context.watch(completionFd, this);
  }

  /** See {@linkcode VirtioDevice.activate}. */
  activate(): void {}

  /** Takes every available request. */
  notify(queue: VirtQueue): void {
    let rounds = 0;
    do {
      queue.disableNotification();
      while (this.#freeCount > 0) {
        const slot = this.#free[this.#freeCount - 1]!;
        const chain = this.#pool.chains[slot]!;
        if (!queue.pop(chain)) break;
        this.#freeCount--;
        this.#start(slot, chain);
      }
      this.#backend.submit();
      this.#complete();
      this.#settle(); // may free the first slot: before it is looked at
    } while (
      this.#freeCount > 0 && queue.enableNotification() &&
      !(++rounds >= ROUNDS && this.#context.polled)
    );
  }

  /** See {@linkcode VirtioDevice.poll}. */
  poll(): boolean {
    const before = this.#freeCount;
    if (before === QUEUE_SIZE) return false;
    this.#backend.submit(); // what the kernel had no room for
    this.#complete();
    const queue = this.#context.queues[0]!;
    if (before === 0 && this.#freeCount > 0 && queue.live) this.notify(queue);
    return this.#freeCount !== before;
  }

  /** See {@linkcode VirtioDevice.arm}. */
  arm(): boolean {
    return this.#freeCount < QUEUE_SIZE && this.#backend.arm();
  }

  /** The backend has completions. */
  ready(): void {
    this.#backend.acknowledge();
    const wasFull = this.#freeCount === 0;
    this.#complete();
    this.#settle();
    const queue = this.#context.queues[0]!;
    if (wasFull && queue.live) this.notify(queue);
  }

  /** Waits for what is in flight; its guest never sees it complete. */
  reset(): void {
    const backend = this.#backend;
    while (this.#freeCount < QUEUE_SIZE) {
      backend.submit();
      let slot = backend.next();
      if (slot < 0) backend.wait();
      for (; slot >= 0; slot = backend.next()) this.#release(slot);
    }
  }

  /** See {@linkcode VirtioDevice.close}. */
  close(): void {
    if (this.#backend.completionFd >= 0) {
      this.#context.unwatch(this.#backend.completionFd);
    }
    this.#backend.close();
    this.#pool.close();
  }

  /** §5.2.6: header, data, and one status byte at the very end. */
  #start(slot: number, chain: DescriptorChain): void {
    const { readable, writable } = chain;
    if (!this.#readHeader(readable) || writable.bytes === 0) {
      // No place for a status: nothing to tell this request.
      this.#context.needsReset("blk: request without header or status");
      return this.#release(slot);
    }
    readable.skip(HEADER_SIZE);
    this.#statusAddress[slot] = writable.takeLast();
    const sector = this.#header[2]! + this.#header[3]! * TWO_32;
    switch (this.#header[0]) {
      case BlkType.IN:
        return this.#startIn(slot, chain, sector);
      case BlkType.OUT:
        return this.#startOut(slot, chain, sector);
      case BlkType.FLUSH:
        if (!this.#flush) return this.#finish(slot, BlkStatus.UNSUPP, 0);
        this.#type[slot] = BlkType.FLUSH;
        return this.#backend.flush(slot);
      case BlkType.GET_ID:
        return this.#getId(slot, chain);
      default:
        return this.#finish(slot, BlkStatus.UNSUPP, 0);
    }
  }

  /** False when the readable part is too short for a header. */
  #readHeader(readable: ChainPart): boolean {
    const { memory } = this.#context;
    if (readable.bytes < HEADER_SIZE) return false;
    const address = readable.guestAddress;
    if (readable.firstLength < HEADER_SIZE || (address & 3) !== 0) {
      return readable.peek(memory, this.#headerBytes, HEADER_SIZE);
    }
    // As drivers have it: in one piece, and aligned.
    const region = memory.find(address, HEADER_SIZE)!;
    const first = (address - region.guestAddress) / 4;
    for (let i = 0; i < 4; i++) this.#header[i] = region.u32[first + i]!;
    return true;
  }

  #startIn(slot: number, chain: DescriptorChain, sector: number): void {
    const { bytes, iovecs, count } = chain.writable;
    if (!this.#inRange(sector, bytes)) {
      return this.#finish(slot, BlkStatus.IOERR, 0);
    }
    this.#begin(slot, BlkType.IN, sector, bytes);
    this.#backend.readv(slot, iovecs, count, sector * SECTOR_SIZE);
  }

  #startOut(slot: number, chain: DescriptorChain, sector: number): void {
    const { bytes, iovecs, count } = chain.readable;
    if (this.#backend.readOnly || !this.#inRange(sector, bytes)) {
      return this.#finish(slot, BlkStatus.IOERR, 0);
    }
    this.#begin(slot, BlkType.OUT, sector, bytes);
    this.#backend.writev(slot, iovecs, count, sector * SECTOR_SIZE);
  }

  #getId(slot: number, chain: DescriptorChain): void {
    if (chain.writable.bytes < ID_SIZE) {
      return this.#finish(slot, BlkStatus.IOERR, 0);
    }
    const written = chain.writable.poke(this.#context.memory, this.#id);
    this.#finish(slot, BlkStatus.OK, written);
  }

  /** §5.2.6.1: whole sectors, within the capacity. */
  #inRange(sector: number, bytes: number): boolean {
    return bytes > 0 && bytes % SECTOR_SIZE === 0 &&
      sector * SECTOR_SIZE + bytes <= this.#backend.size;
  }

  #begin(slot: number, type: number, sector: number, bytes: number): void {
    this.#type[slot] = type;
    this.#offset[slot] = sector * SECTOR_SIZE;
    this.#length[slot] = bytes;
  }

  /** A thread that doesn't poll sleeps next: completions must signal. */
  #settle(): void {
    if (this.#context.polled) return;
    while (this.arm()) this.#complete();
  }

  #complete(): void {
    const backend = this.#backend;
    if (this.#freeCount < QUEUE_SIZE) {
      for (let slot = backend.next(); slot >= 0; slot = backend.next()) {
        this.#completeOne(slot, backend.result);
      }
    }
    if (!this.#pushed) return;
    this.#pushed = false;
    this.#context.publish(this.#context.queues[0]!);
  }

  #completeOne(slot: number, result: number): void {
    if (result === -Errno.EINTR || result === -Errno.EAGAIN) {
      return this.#continue(slot, 0);
    }
    if (result < 0) return this.#finish(slot, BlkStatus.IOERR, 0);
    const type = this.#type[slot]!;
    if (type === BlkType.FLUSH) return this.#finish(slot, BlkStatus.OK, 0);
    const left = type === BlkType.IN
      ? this.#pool.chains[slot]!.writable.bytes
      : this.#pool.chains[slot]!.readable.bytes;
    if (result < left) {
      // 0 bytes: the file ends here, it shrank below its advertised size.
      if (result === 0) return this.#finish(slot, BlkStatus.IOERR, 0);
      return this.#continue(slot, result);
    }
    const written = type === BlkType.IN ? this.#length[slot]! : 0;
    this.#finish(slot, BlkStatus.OK, written);
  }

  /** A short or interrupted transfer: goes on with the rest. */
  #continue(slot: number, done: number): void {
    const type = this.#type[slot]!;
    const backend = this.#backend;
    if (type === BlkType.FLUSH) {
      backend.flush(slot);
    } else {
      const chain = this.#pool.chains[slot]!;
      const part = type === BlkType.IN ? chain.writable : chain.readable;
      part.skip(done);
      const offset = this.#offset[slot]! += done;
      if (type === BlkType.IN) {
        backend.readv(slot, part.iovecs, part.count, offset);
      } else {
        backend.writev(slot, part.iovecs, part.count, offset);
      }
    }
    backend.submit();
  }

  /** Writes the status byte and gives the chain back. */
  #finish(slot: number, status: number, written: number): void {
    const address = this.#statusAddress[slot]!;
    const region = this.#context.memory.find(address, 1)!;
    region.u8[address - region.guestAddress] = status;
    // §2.7.8.2: the status byte is written, too.
    const { head } = this.#pool.chains[slot]!;
    this.#context.queues[0]!.push(head, written + 1);
    this.#pushed = true;
    this.#release(slot);
  }

  #release(slot: number): void {
    this.#free[this.#freeCount++] = slot;
  }
}
