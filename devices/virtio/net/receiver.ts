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
import {
  NET_HEADER_NUM_BUFFERS,
  NET_HEADER_SIZE,
  NET_QUEUE_SIZE,
  TSO_FRAME,
} from "./spec.ts";
import type { VirtQueue } from "../queue/queue.ts";
import { RxWindow } from "./rx_window.ts";

/** Frames per turn, so that one device doesn't starve the others. */
const BUDGET = 256;
/** Frames between two looks at whether the driver wants an interrupt. */
const BATCH = 64;

/** Reads frames straight into posted buffers. */
export class NetReceiver {
  readonly #backend: NetBackend;
  readonly #limiter: RateLimiter | undefined;
  #window!: RxWindow;
  #chain!: DescriptorChain;
  #mergeable = false;
  #frameMax = 0;
  // A frame that is larger than what is posted waits for more buffers: its
  // length, and how much of it they hold. The rest is in the window's spill.
  #held = 0;
  #heldInBuffers = 0;

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
    const limiter = this.#limiter;
    for (let frames = 1; frames <= BUDGET; frames++) {
      if (limiter?.mayStart() === false) {
        queue.disableNotification(); // buffers don't help
        context.publish(queue);
        return false;
      }
      if (!this.#fill(queue, context)) {
        context.publish(queue);
        return false;
      }
      if (!this.#receiveOne(queue, context)) break;
      if (frames % BATCH === 0) context.publish(queue);
    }
    context.publish(queue);
    return true;
  }

  /** Gives the buffers back to the queue; a frame that waits is lost. */
  quiesce(queue: VirtQueue): void {
    queue.rewind();
    this.reset();
  }

  /** Forgets the buffers, and a frame that waits. */
  reset(): void {
    this.#window.clear();
    this.#held = 0;
  }

  /** Unmaps the iovecs. */
  close(): void {
    this.#window?.close();
  }

  /** Takes posted buffers; false when the driver must post more first. */
  #fill(queue: VirtQueue, context: DeviceContext): boolean {
    const window = this.#window;
    while (!this.#frameFits(queue)) {
      if (!window.hasRoomFor(queue.size)) break;
      if (!queue.hasAvailable) {
        if (this.#mayReceive(queue)) break;
        queue.enableNotification();
        return false;
      }
      if (!queue.pop(this.#chain)) return false;
      if (this.#chain.writable.bytes < NET_HEADER_SIZE) {
        context.needsReset("net: receive buffer without room");
        return false;
      }
      window.add(this.#chain);
    }
    queue.disableNotification();
    return true;
  }

  #frameFits(queue: VirtQueue): boolean {
    const window = this.#window;
    if (!this.#mergeable) return window.chains > 0;
    const need = this.#held > 0 ? this.#held : this.#frameMax;
    return window.bytes >= need || window.chains === queue.size;
  }

  /** With fewer buffers than the largest frame needs: most are small. */
  #mayReceive(queue: VirtQueue): boolean {
    const window = this.#window;
    return window.chains > 0 &&
      (this.#held === 0 || window.holdsAllOf(queue.size));
  }

  /** False when no frame waits. */
  #receiveOne(queue: VirtQueue, context: DeviceContext): boolean {
    const window = this.#window;
    if (this.#held > 0) {
      this.#deliverHeld(queue, context);
      return true;
    }
    const length = this.#backend.receive(window);
    if (length < 0) return length === -Errno.EINTR;
    if (length <= window.bytes) {
      this.#deliver(queue, context, length);
    } else if (this.#mergeable) {
      this.#held = length;
      this.#heldInBuffers = window.bytes;
    } // else it will never fit: it is dropped, and its buffer used again
    return true;
  }

  /** The frame that waited; it is dropped if the whole queue is too small. */
  #deliverHeld(queue: VirtQueue, context: DeviceContext): void {
    const length = this.#held;
    this.#held = 0;
    if (length > this.#window.bytes) return;
    this.#window.unspill(context.memory, this.#heldInBuffers, length);
    this.#deliver(queue, context, length);
  }

  #deliver(queue: VirtQueue, context: DeviceContext, length: number): void {
    const window = this.#window;
    const { memory } = context;
    this.#limiter?.charge(length);
    context.record?.frame(queue.index, length);
    let buffers = 1;
    let covered = window.firstBytes;
    while (covered < length) covered += window.sizeOf(buffers++);
    // §5.1.6.4: num_buffers is 1 without mergeable buffers, too.
    window.poke(memory, NET_HEADER_NUM_BUFFERS, buffers & 0xff);
    window.poke(memory, NET_HEADER_NUM_BUFFERS + 1, buffers >> 8);
    let left = length;
    for (let i = 0; i < buffers; i++) {
      const written = Math.min(left, window.firstBytes);
      queue.push(window.firstHead, written);
      window.shift();
      left -= written;
    }
  }
}
