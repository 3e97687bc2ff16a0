/**
 * Frames from a backend to a receive queue (virtio 1.2 §5.1.6.3, 6.4).
 *
 * @module
 */
import { Errno } from "../../../ffi/errno.ts";
import type { NetBackend } from "../../backends/net/backend.ts";
import type { RateLimiter } from "../../runtime/rate_limiter.ts";
import type { DescriptorChain } from "../queue/chain.ts";
import type { DeviceContext } from "../device.ts";
import { NET_HEADER_SIZE, NET_QUEUE_SIZE, TSO_FRAME } from "./spec.ts";
import type { VirtQueue } from "../queue/queue.ts";
import { RxWindow } from "./rx_window.ts";

/** Frames per turn, so that one device doesn't starve the others. */
const BUDGET = 256;
/** Frames that the driver is shown together. */
const BATCH = 64;

/** Reads frames straight into posted buffers. */
export class NetReceiver {
  readonly #backend: NetBackend;
  readonly #limiter: RateLimiter | undefined;
  readonly #lengths = new Int32Array(BATCH); // of a batch's frames
  #window!: RxWindow;
  #chain!: DescriptorChain;
  #mergeable = false;
  #frameMax = 0;
  // A frame that is larger than what is posted waits for more buffers: its
  // length, and how much of it they hold. The rest is in the window's spill.
  #held = 0;
  #heldInBuffers = 0;
  #large = 0; // frames that are likely to be larger than one buffer
  #more = true; // frames may wait
  #allowed = true; // by the limits

  /** Receives from `backend`, as fast as `limiter` lets. */
  constructor(backend: NetBackend, limiter?: RateLimiter) {
    this.#backend = backend;
    this.#limiter = limiter;
  }

  /** Once, before the guest runs. */
  attach(queue: VirtQueue): void {
    this.#chain = queue.chain();
    this.#window = new RxWindow(NET_QUEUE_SIZE, NET_HEADER_SIZE + TSO_FRAME);
  }

  /** The driver is ready: see {@linkcode NetPair.activate}. */
  activate(frameMax: number, mergeable: boolean): void {
    this.#frameMax = frameMax;
    this.#mergeable = mergeable;
  }

  /**
   * Receives frames until there are no more, no more buffers, or no more are
   * allowed.
   *
   * @returns false when the next frame must wait: for buffers that the driver
   *   posts, or until the limits allow one
   */
  run(queue: VirtQueue, context: DeviceContext): boolean {
    this.#more = this.#allowed = true;
    for (let left = BUDGET; left > 0 && this.#more;) {
      if (!this.#fill(queue, context)) return false;
      left -= this.#receive(queue, context);
    }
    if (!this.#allowed) queue.disableNotification(); // buffers don't help
    return this.#allowed;
  }

  /** Gives the buffers back to the queue; a frame that waits is lost. */
  quiesce(queue: VirtQueue): void {
    queue.rewind();
    this.reset();
  }

  /** Forgets the buffers, and a frame that waits. */
  reset(): void {
    this.#window.clear();
    this.#held = this.#large = 0;
  }

  /** Unmaps the iovecs. */
  close(): void {
    this.#window?.close();
  }

  /** Takes posted buffers; false when the driver must post more first. */
  #fill(queue: VirtQueue, context: DeviceContext): boolean {
    const window = this.#window;
    const { size } = queue;
    const most = this.#held > 0 || this.#large > 0 ? size : BATCH;
    while (window.chains < most && window.hasRoomFor(size)) {
      if (!queue.pop(this.#chain)) break;
      if (this.#chain.writable.bytes < NET_HEADER_SIZE) {
        context.needsReset("net: receive buffer without room");
        return false;
      }
      window.add(this.#chain);
    }
    if (!queue.live) return false;
    const waits = this.#held > 0
      ? window.bytes < this.#held && !window.holdsAllOf(size)
      : window.chains === 0;
    if (waits) queue.enableNotification();
    else queue.disableNotification();
    return !waits;
  }

  /** Receives one batch; how many frames it has tried to. */
  #receive(queue: VirtQueue, context: DeviceContext): number {
    const window = this.#window;
    let tried = 0;
    let frames = 0;
    if (this.#held > 0) {
      // Dropped, if the whole queue is too small.
      if (this.#held <= window.bytes) {
        window.unspill(context.memory, this.#heldInBuffers, this.#held);
        this.#take(frames++, this.#held);
      }
      this.#held = 0;
      tried++;
    }
    while (tried < BATCH && window.chains > 0) {
      const wanted = this.#large > 0 ? this.#frameMax : 0;
      if (tried > 0 && window.bytes < wanted) break; // more may be posted
      this.#allowed = this.#more = this.#limiter?.mayStart() ?? true;
      if (!this.#allowed) break;
      tried++;
      const offered = window.offer(wanted);
      const length = this.#backend.receive(window);
      window.withdraw();
      if (length < 0) {
        this.#more = length === -Errno.EINTR;
        break;
      }
      if (length > offered) {
        if (!this.#mergeable) continue; // it will never fit: it is dropped
        if (length > window.bytes) {
          this.#held = length;
          this.#heldInBuffers = offered;
          break;
        }
        window.unspill(context.memory, offered, length);
      }
      this.#take(frames++, length);
    }
    if (frames === 0) return tried;
    window.giveBack(queue, context.memory);
    context.record?.frames(queue.index, this.#lengths, frames);
    context.publish(queue);
    return tried;
  }

  /** Frame `index` of the batch is in the first buffers. */
  #take(index: number, length: number): void {
    this.#limiter?.charge(length);
    this.#lengths[index] = length;
    if (this.#window.take(length) > 1) this.#large = BATCH;
    else if (this.#large > 0) this.#large--;
  }
}
