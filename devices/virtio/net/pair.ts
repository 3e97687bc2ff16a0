/**
 * One pair of a network device's queues (virtio 1.2 §5.1.2), and the backend
 * that it exchanges frames with.
 *
 * @module
 */
import { Events } from "../../../ffi/epoll.ts";
import type { Watcher } from "../../runtime/event_loop.ts";
import type { NetBackend } from "../../backends/net/backend.ts";
import type { RateLimiter } from "../../runtime/rate_limiter.ts";
import type { DeviceContext } from "../device.ts";
import { NetReceiver } from "./receiver.ts";
import { NetTransmitter } from "./transmitter.ts";
import type { VirtQueue } from "../queue/queue.ts";

/** What limits an interface; all of its pairs share it. Default: nothing. */
export interface NetLimiters {
  /** Frames to the guest. */
  rx?: RateLimiter | undefined;
  /** Frames from the guest. */
  tx?: RateLimiter | undefined;
}

/** A receive queue, a transmit queue, and their backend. */
export class NetPair implements Watcher {
  readonly #index: number;
  readonly #backend: NetBackend;
  readonly #onLinkDown: () => void;
  readonly #receiver: NetReceiver;
  readonly #transmitter: NetTransmitter;
  #context!: DeviceContext;
  #interest = 0; // what the backend's descriptor is watched for
  #inUse = false; // and watched
  #linkUp = true;

  /**
   * Pair `index`; `onLinkDown` hears that the backend is gone. When a limiter
   * allows more, {@linkcode NetPair.receive} or {@linkcode NetPair.transmit}
   * is due.
   */
  constructor(
    index: number,
    backend: NetBackend,
    onLinkDown: () => void,
    limiters: NetLimiters = {},
  ) {
    this.#index = index;
    this.#backend = backend;
    this.#onLinkDown = onLinkDown;
    this.#receiver = new NetReceiver(backend, limiters.rx);
    this.#transmitter = new NetTransmitter(backend, limiters.tx);
  }

  /** Once, before the guest runs. The first pair is always in use. */
  attach(context: DeviceContext): void {
    this.#context = context;
    this.#receiver.attach(this.#receiveQueue);
    this.#transmitter.attach(context, this.#transmitQueue);
    if (this.#index > 0) {
      this.#backend.setInUse?.(false);
      return;
    }
    this.#inUse = true;
    context.watch(this.#backend.fd, this, 0);
  }

  /** Takes a pair into use or out of it (§5.1.6.5.5). */
  setInUse(on: boolean): void {
    if (on === this.#inUse || !this.#linkUp) return;
    if (!on) {
      // Out of use, a TAP's queue reports an error for ever.
      this.#context.unwatch(this.#backend.fd);
      this.#inUse = false;
      this.#interest = 0;
      this.#backend.setInUse?.(false);
    } else if (this.#backend.setInUse?.(true)) {
      this.#inUse = true;
      this.#context.watch(this.#backend.fd, this, 0);
      this.receive();
      this.transmit();
    }
  }

  /**
   * The driver is ready.
   *
   * @param frameMax bytes that a received frame with its header may have
   * @param mergeable a received frame may spread over several buffers
   */
  activate(frameMax: number, mergeable: boolean): void {
    this.#receiver.activate(frameMax, mergeable);
    this.receive();
  }

  /** The driver rang the doorbell of one of the two queues. */
  notify(queue: VirtQueue): void {
    if (queue === this.#transmitQueue) this.transmit();
    else this.receive();
  }

  /** The backend has frames, or room again, or is gone. */
  onReady(events: number): void {
    if (events & (Events.ERR | Events.HUP)) return this.#onLinkDown();
    if (events & Events.OUT) {
      this.#watch(this.#interest & ~Events.OUT);
      this.transmit();
    }
    if (events & Events.IN) this.receive();
  }

  /** Sends what the driver has made available, if the queue is live. */
  transmit(): void {
    const queue = this.#transmitQueue;
    if (!queue.live) return;
    const waits = !this.#transmitter.run(queue, this.#watched);
    if (waits) this.#watch(this.#interest | Events.OUT);
  }

  /** Receives what waits, if the queue is live and the pair in use. */
  receive(): void {
    const queue = this.#receiveQueue;
    if (!queue.live || !this.#watched) return;
    // Without buffers, or at the limit, frames wait in the backend.
    const wanted = this.#receiver.run(queue, this.#context);
    this.#watch(
      wanted ? this.#interest | Events.IN : this.#interest & ~Events.IN,
    );
  }

  /** True when a frame waits that no event will tell of. */
  get pending(): boolean {
    return this.#backend.buffered === true &&
      (this.#interest & Events.IN) !== 0;
  }

  /** Receives what is {@linkcode NetPair.pending}; false without any. */
  poll(): boolean {
    if (!this.pending) return false;
    this.receive();
    return true;
  }

  /** It exchanges frames. */
  get inUse(): boolean {
    return this.#inUse;
  }

  /** Holds no chain any more. */
  quiesce(): void {
    this.#receiver.quiesce(this.#receiveQueue);
    this.#transmitter.quiesce(this.#transmitQueue);
  }

  /** Lets go of both queues, or of `queue`. */
  reset(queue?: VirtQueue): void {
    if (queue === undefined || queue === this.#receiveQueue) {
      this.#receiver.reset();
      this.#watch(this.#interest & ~Events.IN);
    }
    if (queue === undefined || queue === this.#transmitQueue) {
      this.#transmitter.reset();
      this.#watch(this.#interest & ~Events.OUT);
    }
  }

  /** Releases what the pair and its backend hold. */
  close(): void {
    if (this.#watched) this.#context.unwatch(this.#backend.fd);
    this.#receiver.close();
    this.#backend.close();
  }

  /** The backend is gone. */
  linkDown(): void {
    if (this.#watched) this.#context.unwatch(this.#backend.fd);
    this.#linkUp = false;
    // There will never be room for the frames that wait: they are lost.
    this.transmit();
  }

  get #watched(): boolean {
    return this.#inUse && this.#linkUp;
  }

  get #receiveQueue(): VirtQueue {
    return this.#context.queues[2 * this.#index]!;
  }

  get #transmitQueue(): VirtQueue {
    return this.#context.queues[2 * this.#index + 1]!;
  }

  #watch(events: number): void {
    if (events === this.#interest || !this.#watched) return;
    this.#interest = events;
    this.#context.modifyWatch(this.#backend.fd, events);
  }
}
