/**
 * The block device (virtio 1.2 §5.2).
 *
 * A request's data goes by one vectored I/O operation straight between guest
 * memory and the backend; requests are submitted in batches of 16 at most,
 * and complete in any order.
 *
 * @module
 */
import { VireoError } from "../../../ffi/error.ts";
import type { BlockBackend } from "../../backends/block/backend.ts";
import type { Watcher } from "../../runtime/event_loop.ts";
import { changeLimits, RateLimiter } from "../../runtime/rate_limiter.ts";
import { BlkRequests } from "./requests.ts";
import {
  BLK_HEADER_SIZE,
  BLK_ID_SIZE,
  BlkConfig,
  blkConfig,
  BlkFeature,
  blkFeatures,
  type BlkOptions,
  capacityOf,
  setCapacity,
} from "./spec.ts";
import type { DescriptorChain } from "../queue/chain.ts";
import type { DeviceContext, VirtioDevice } from "../device.ts";
import { type ChainServer, Drain } from "../queue/drain.ts";
import type { VirtQueue } from "../queue/queue.ts";
import { DeviceId, type FeatureWords } from "../spec.ts";

/** Descriptors of a queue, and requests in flight of all queues together. */
const QUEUE_SIZE = 256;
/** Requests per turn, so that one device doesn't starve the others. */
const BUDGET = 256;
/** So many are begun, and shown, at once: guest, device and disk overlap. */
const AHEAD = 16;

/** A command to the device: look for the image's size anew. */
export type BlkCommand = "resize";

/** A virtio block device over a backend. */
export class Blk implements VirtioDevice, Watcher, ChainServer {
  readonly deviceId: number = DeviceId.BLOCK;
  readonly features: FeatureWords;
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array;
  readonly #backend: BlockBackend;
  readonly #id: Uint8Array;
  readonly #flush: boolean;
  readonly #limiter: RateLimiter | undefined;
  #requests!: BlkRequests;
  #drain!: Drain;
  #next = 0; // the queue that is first when there is room again
  #context!: DeviceContext;

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
  }

  attach(context: DeviceContext): void {
    this.#context = context;
    this.#requests = new BlkRequests(this.#backend, context, {
      id: this.#id,
      flush: this.#flush,
      slots: QUEUE_SIZE,
    });
    this.#drain = new Drain(context, this, BUDGET);
    const { completionFd } = this.#backend;
    if (completionFd >= 0) context.watch(completionFd, this);
    this.#limiter?.attach(context, () => this.#resume());
  }

  activate(): void {
    this.#chooseCache();
  }

  /** Takes every available request. */
  notify(queue: VirtQueue): void {
    this.#drain.run(queue);
  }

  /** A free chain, if the limits allow another request. */
  room(queue: VirtQueue): DescriptorChain | undefined {
    if (this.#limiter?.holdsBack(queue)) return undefined;
    return this.#requests.chain;
  }

  /** Starts a request. */
  serve(chain: DescriptorChain, queue: VirtQueue): DescriptorChain | undefined {
    this.#limiter?.charge(dataBytes(chain));
    this.#requests.start(chain, queue);
    if (this.#requests.free % AHEAD === 0) this.#requests.flush(false);
    return this.room(queue);
  }

  /** Submits what was started, and takes what is done by then. */
  flush(): void {
    this.#requests.flush();
  }

  poll(): boolean {
    const requests = this.#requests;
    const before = requests.free;
    if (requests.inFlight === 0) return false;
    requests.flush(); // what the kernel had no room for
    if (before === 0 && requests.free > 0) this.#resume();
    return requests.free !== before;
  }

  enable(): boolean {
    return this.#requests.inFlight > 0 && this.#backend.enable();
  }

  /** The backend has completions. */
  onReady(): void {
    this.#backend.acknowledge();
    this.poll();
  }

  /** Carries out what is in flight. */
  quiesce(): void {
    this.#requests.finish();
  }

  /** The image may be another one, of another size. */
  restore(): void {
    this.#chooseCache();
    this.#tellSize();
  }

  /** Waits for what is in flight; its guest never sees it complete. */
  reset(queue?: VirtQueue): void {
    this.#requests.drop(queue);
    if (!queue) this.#context.config[BlkConfig.writeback] = 1;
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
    const limiters = { rate_limiter: this.#limiter };
    if (changeLimits(command, limiters)) return this.#backend.size;
    if (command !== "resize" satisfies BlkCommand) {
      throw new VireoError(`blk: no such command: ${command}`);
    }
    this.#backend.resize();
    this.#tellSize();
    return this.#backend.size;
  }

  close(): void {
    if (this.#backend.completionFd >= 0) {
      this.#context?.unwatch(this.#backend.completionFd);
    }
    this.#limiter?.close();
    this.#backend.close();
  }

  /** If it is not what the driver knows. */
  #tellSize(): void {
    const { size } = this.#backend;
    const { config } = this.#context;
    const view = new DataView(config.buffer, config.byteOffset);
    if (capacityOf(view) === size) return;
    this.#context.configChanged(() => setCapacity(view, size));
  }

  /** There is room again: who waits longest comes first. */
  #resume(): void {
    const { queues } = this.#context;
    const first = this.#next;
    for (let i = 0; i < queues.length; i++) {
      const queue = queues[(first + i) % queues.length]!;
      if (this.room(queue) === undefined) return;
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
    this.#requests.writeThrough = this.#flush &&
      (chosen || !has(BlkFeature.FLUSH));
  }
}

/** Bytes of a request's data, for limits. */
function dataBytes({ readable, writable }: DescriptorChain): number {
  const bytes = readable.bytes + writable.bytes - BLK_HEADER_SIZE - 1;
  return bytes > 0 ? bytes : 0;
}
