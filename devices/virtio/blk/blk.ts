/**
 * The block device (virtio 1.2 §5.2).
 *
 * A request's data goes by one vectored I/O operation straight between guest
 * memory and the backend; requests are submitted in one batch per doorbell
 * and complete in any order.
 *
 * @module
 */
import { VireoError } from "../../../ffi/error.ts";
import type { BlockBackend } from "../../backends/block/backend.ts";
import type { Watcher } from "../../runtime/event_loop.ts";
import { RateLimiter } from "../../runtime/rate_limiter.ts";
import {
  blkConfig,
  blkFeatures,
  type BlkOptions,
  setCapacity,
} from "./config.ts";
import { BlkOperations, UNFINISHED } from "./requests.ts";
import {
  BLK_HEADER_SIZE,
  BLK_ID_SIZE,
  BLK_SEGMENT_SIZE,
  BlkConfig,
  BlkFeature,
  BlkStatus,
  BlkType,
  MAX_ZERO_SECTORS,
  SECTOR_SIZE,
  SEGMENT_UNMAP,
} from "./spec.ts";
import type { ChainPart, DescriptorChain } from "../queue/chain.ts";
import type { DeviceContext, VirtioDevice } from "../device.ts";
import { type ChainServer, Drain } from "../queue/drain.ts";
import type { VirtQueue } from "../queue/queue.ts";
import { DeviceId, type FeatureWords } from "../spec.ts";

/** Descriptors of a queue, and requests in flight of all queues together. */
const QUEUE_SIZE = 256;
/** Requests per turn, so that one device doesn't starve the others. */
const BUDGET = 1024;
const TWO_32 = 0x1_0000_0000;

/** A command to the device: look for the image's size anew. */
export type BlkCommand = "resize";

/** A virtio block device over a backend. */
export class Blk implements VirtioDevice, Watcher, ChainServer {
  /** See {@linkcode VirtioDevice.deviceId}. */
  readonly deviceId: number = DeviceId.BLOCK;
  /** See {@linkcode VirtioDevice.features}. */
  readonly features: FeatureWords;
  /** See {@linkcode VirtioDevice.queueSizes}. */
  readonly queueSizes: readonly number[];
  /** See {@linkcode VirtioDevice.config}. */
  readonly config: Uint8Array;
  readonly #backend: BlockBackend;
  readonly #id: Uint8Array;
  readonly #flush: boolean;
  readonly #limiter: RateLimiter | undefined;
  #chains!: readonly DescriptorChain[];
  #operations!: BlkOperations;
  #drain!: Drain;
  // struct virtio_blk_req: type, reserved, sector (low, high)
  readonly #header = new Uint32Array(BLK_HEADER_SIZE / 4);
  readonly #headerBytes = new Uint8Array(this.#header.buffer);
  // One entry per slot. A slot is a request in flight and its chain.
  readonly #statusAddress = new Float64Array(QUEUE_SIZE);
  readonly #queue = new Uint8Array(QUEUE_SIZE);
  readonly #free = new Uint16Array(QUEUE_SIZE);
  #freeCount = QUEUE_SIZE;
  #next = 0; // the queue that is first when there is room again
  #context!: DeviceContext;
  #pushed = false;

  /** A disk on `backend`; GET_ID answers `id`, at most 20 bytes of ASCII. */
  constructor(backend: BlockBackend, id: string, options: BlkOptions = {}) {
    const { flush = true, queues = 1, limits } = options;
    this.#backend = backend;
    this.#flush = flush;
    this.#limiter = RateLimiter.from(limits);
    this.#id = new Uint8Array(BLK_ID_SIZE);
    new TextEncoder().encodeInto(id, this.#id);
    this.queueSizes = new Array<number>(queues).fill(QUEUE_SIZE);
    this.features = blkFeatures(backend, options);
    this.config = blkConfig(backend, options, QUEUE_SIZE);
    for (let slot = 0; slot < QUEUE_SIZE; slot++) this.#free[slot] = slot;
  }

  /** See {@linkcode VirtioDevice.attach}. */
  attach(context: DeviceContext): void {
    this.#context = context;
    this.#chains = context.queues[0]!.chains(QUEUE_SIZE);
    this.#operations = new BlkOperations(this.#backend, this.#chains);
    this.#drain = new Drain(context, this, BUDGET);
    const { completionFd } = this.#backend;
    if (completionFd >= 0) context.watch(completionFd, this);
    this.#limiter?.attach(context, () => this.#resume());
  }

  /** See {@linkcode VirtioDevice.activate}. */
  activate(): void {
    this.#chooseCache();
  }

  /** Takes every available request. */
  notify(queue: VirtQueue): void {
    this.#drain.run(queue);
  }

  /** A free slot's chain, if the limits allow another request. */
  room(queue: VirtQueue): DescriptorChain | undefined {
    if (this.#freeCount === 0) return undefined; // completions make room
    if (this.#limiter?.holdsBack(queue)) return undefined;
    return this.#chains[this.#free[this.#freeCount - 1]!];
  }

  /** Starts a request. */
  serve(chain: DescriptorChain, queue: VirtQueue): DescriptorChain | undefined {
    const slot = this.#free[--this.#freeCount]!;
    this.#queue[slot] = queue.index;
    this.#limiter?.charge(dataBytes(chain));
    this.#start(slot, chain);
    return this.room(queue);
  }

  /** Submits what was started, and takes what is done by then. */
  flush(): void {
    this.#backend.submit();
    this.#complete();
  }

  /** See {@linkcode VirtioDevice.poll}. */
  poll(): boolean {
    const before = this.#freeCount;
    if (before === QUEUE_SIZE) return false;
    this.#backend.submit(); // what the kernel had no room for
    this.#complete();
    if (before === 0 && this.#freeCount > 0) this.#resume();
    return this.#freeCount !== before;
  }

  /** See {@linkcode VirtioDevice.enable}. */
  enable(): boolean {
    return this.#freeCount < QUEUE_SIZE && this.#backend.enable();
  }

  /** The backend has completions. */
  onReady(): void {
    this.#backend.acknowledge();
    const wasFull = this.#freeCount === 0;
    this.#complete();
    if (wasFull) this.#resume();
  }

  /** Waits for what is in flight; its guest never sees it complete. */
  reset(queue?: VirtQueue): void {
    const backend = this.#backend;
    while (this.#freeCount < QUEUE_SIZE) {
      backend.submit();
      let slot = backend.next();
      if (slot < 0) backend.wait();
      for (; slot >= 0; slot = backend.next()) {
        if (queue && this.#queue[slot] !== queue.index) {
          this.#completeOne(slot, backend.result);
        } else {
          this.#release(slot);
        }
      }
    }
    if (queue) this.#complete(); // shows what belongs to other queues
    else this.#context.config[BlkConfig.writeback] = 1;
  }

  /** §5.2.5.1: the driver chooses between write-back and write-through. */
  writeConfig(offset: number, size: number, value: number): void {
    const { config } = this.#context;
    const allowed = this.#context.hasFeature(BlkFeature.CONFIG_WCE);
    if (!allowed || offset !== BlkConfig.writeback || size !== 1) return;
    config[BlkConfig.writeback] = value & 1;
    this.#chooseCache();
  }

  /**
   * Looks for the image's size anew and tells the driver; returns it in bytes.
   *
   * @throws {VireoError} when the image can't be a disk any more
   */
  command(command: unknown): number {
    if (command !== "resize" satisfies BlkCommand) {
      throw new VireoError(`blk: no such command: ${command}`);
    }
    const backend = this.#backend;
    const before = backend.size;
    backend.resize();
    if (backend.size !== before) {
      this.#context.configChanged((config) =>
        setCapacity(
          new DataView(config.buffer, config.byteOffset),
          backend.size,
        )
      );
    }
    return backend.size;
  }

  /** See {@linkcode VirtioDevice.close}. */
  close(): void {
    if (this.#backend.completionFd >= 0) {
      this.#context?.unwatch(this.#backend.completionFd);
    }
    this.#limiter?.close();
    this.#backend.close();
  }

  /** There is room for a request, and the limits allow one. */
  get #mayTake(): boolean {
    return this.#freeCount > 0 && this.#limiter?.blocked !== true;
  }

  /** There is room again: who waits longest comes first. */
  #resume(): void {
    const { queues } = this.#context;
    const first = this.#next;
    for (let i = 0; i < queues.length && this.#mayTake; i++) {
      const queue = queues[(first + i) % queues.length]!;
      if (queue.live) this.notify(queue);
      this.#next = (queue.index + 1) % queues.length;
    }
  }

  /** §5.2.6.2: a driver that can't flush gets no write-back. */
  #chooseCache(): void {
    const { config } = this.#context;
    const has = (bit: number) => this.#context.hasFeature(bit);
    const chosen = has(BlkFeature.CONFIG_WCE) &&
      config[BlkConfig.writeback] === 0;
    this.#operations.writeThrough = this.#flush &&
      (chosen || !has(BlkFeature.FLUSH));
  }

  /** §5.2.6: header, data, and one status byte at the very end. */
  #start(slot: number, chain: DescriptorChain): void {
    const { readable, writable } = chain;
    if (!this.#readHeader(readable) || writable.bytes === 0) {
      // No place for a status: nothing to tell this request.
      this.#context.needsReset("blk: request without header or status");
      return this.#release(slot);
    }
    readable.skip(BLK_HEADER_SIZE);
    this.#statusAddress[slot] = writable.takeLast();
    const sector = this.#header[2]! + this.#header[3]! * TWO_32;
    switch (this.#header[0]) {
      case BlkType.IN:
        return this.#startIn(slot, chain, sector);
      case BlkType.OUT:
        return this.#startOut(slot, chain, sector);
      case BlkType.FLUSH:
        if (!this.#flush) return this.#finish(slot, BlkStatus.UNSUPP, 0);
        return this.#operations.flush(slot);
      case BlkType.GET_ID:
        return this.#getId(slot, chain);
      case BlkType.DISCARD:
      case BlkType.WRITE_ZEROES:
        return this.#startZero(slot, chain, this.#header[0]);
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
    const region = memory.find(address, BLK_HEADER_SIZE)!;
    const first = (address - region.guestAddress) / 4;
    for (let i = 0; i < 4; i++) this.#header[i] = region.u32[first + i]!;
    return true;
  }

  #startIn(slot: number, chain: DescriptorChain, sector: number): void {
    if (!this.#inRange(sector, chain.writable.bytes)) {
      return this.#finish(slot, BlkStatus.IOERR, 0);
    }
    this.#operations.read(slot, sector * SECTOR_SIZE);
  }

  #startOut(slot: number, chain: DescriptorChain, sector: number): void {
    const { bytes } = chain.readable;
    if (this.#backend.readOnly || !this.#inRange(sector, bytes)) {
      return this.#finish(slot, BlkStatus.IOERR, 0);
    }
    this.#operations.write(slot, sector * SECTOR_SIZE);
  }

  /** DISCARD and WRITE_ZEROES, which have one segment. */
  #startZero(
    slot: number,
    { readable }: DescriptorChain,
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
    this.#operations.zero(slot, sector * SECTOR_SIZE, bytes, unmap);
  }

  #getId(slot: number, chain: DescriptorChain): void {
    if (chain.writable.bytes < BLK_ID_SIZE) {
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

  #complete(): void {
    const backend = this.#backend;
    if (this.#freeCount < QUEUE_SIZE) {
      for (let slot = backend.next(); slot >= 0; slot = backend.next()) {
        this.#completeOne(slot, backend.result);
      }
    }
    if (!this.#pushed) return;
    this.#pushed = false;
    const { queues } = this.#context;
    for (let i = 0; i < queues.length; i++) this.#context.publish(queues[i]!);
  }

  #completeOne(slot: number, result: number): void {
    const status = this.#operations.complete(slot, result);
    if (status === UNFINISHED) return;
    const written = status === BlkStatus.OK
      ? this.#operations.written(slot)
      : 0;
    this.#finish(slot, status, written);
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
    this.#release(slot);
  }

  #release(slot: number): void {
    this.#free[this.#freeCount++] = slot;
  }
}

/** Bytes of a request's data, for limits. */
function dataBytes({ readable, writable }: DescriptorChain): number {
  const bytes = readable.bytes + writable.bytes - BLK_HEADER_SIZE - 1;
  return bytes > 0 ? bytes : 0;
}
