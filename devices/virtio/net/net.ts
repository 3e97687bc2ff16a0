/**
 * The network device (virtio 1.2 §5.1): what goes for all of its queues. Frames
 * are {@linkcode NetPair}'s, commands {@linkcode NetControl}'s.
 *
 * @module
 */
import { VireoError } from "../../../ffi/error.ts";
import { TapOffload } from "../../../ffi/tap.ts";
import type { NetBackend } from "../../backends/net/backend.ts";
import { changeLimits, type RateLimiter } from "../../runtime/rate_limiter.ts";
import type { DeviceContext, VirtioDevice } from "../device.ts";
import { NetControl, type NetControlled } from "./control.ts";
import { type NetLimiters, NetPair } from "./pair.ts";
import {
  CONTROL_QUEUE_SIZE,
  ETHERNET_HEADER,
  NET_HEADER_SIZE,
  NET_QUEUE_SIZE,
  NetConfig,
  netConfig,
  NetFeature,
  netFeatures,
  NetStatus,
  TSO_FRAME,
} from "./spec.ts";
import type { VirtQueue } from "../queue/queue.ts";
import { DeviceId, type FeatureWords } from "../spec.ts";

/** What is saved of an interface. */
export interface NetSaved {
  /** Pairs of queues that the driver had switched on. */
  pairs: number;
}

/** A virtio network device over one backend per pair of queues. */
export class Net implements VirtioDevice, NetControlled {
  readonly deviceId: number = DeviceId.NET;
  readonly features: FeatureWords;
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array;
  readonly #backends: readonly NetBackend[];
  readonly #limiters: NetLimiters;
  readonly #pairs: readonly NetPair[];
  readonly #control: NetControl = new NetControl(this);
  #context!: DeviceContext;
  #controlQueue = -1; // its number, once there is one

  /**
   * An interface with the address `mac`, six bytes.
   *
   * @param backends one per pair of queues, all of the same kind
   * @param limiters are the device's to close
   */
  constructor(
    backends: readonly NetBackend[],
    mac: Uint8Array,
    limiters: NetLimiters = {},
  ) {
    const [{ offloads, mtu }] = backends as [NetBackend];
    this.#backends = backends;
    this.#limiters = limiters;
    const linkDown = () => this.#linkDown();
    this.#pairs = backends.map((backend, index) =>
      new NetPair(index, backend, linkDown, limiters)
    );
    this.features = netFeatures(offloads, backends.length);
    this.queueSizes = [
      ...backends.flatMap(() => [NET_QUEUE_SIZE, NET_QUEUE_SIZE]),
      CONTROL_QUEUE_SIZE,
    ];
    this.config = netConfig(mac, mtu, backends.length);
  }

  attach(context: DeviceContext): void {
    this.#context = context;
    for (const pair of this.#pairs) pair.attach(context);
    this.#control.attach(context);
    const { rx, tx } = this.#limiters;
    if (rx) this.#share(rx, (pair) => pair.receive());
    if (tx) this.#share(tx, (pair) => pair.transmit());
  }

  activate(): void {
    const has = (bit: number) => this.#context.hasFeature(bit);
    const offload = (has(NetFeature.GUEST_CSUM) ? TapOffload.CSUM : 0) |
      (has(NetFeature.GUEST_TSO4) ? TapOffload.TSO4 : 0) |
      (has(NetFeature.GUEST_TSO6) ? TapOffload.TSO6 : 0) |
      (has(NetFeature.GUEST_ECN) ? TapOffload.TSO_ECN : 0);
    const backend = this.#backends[0]!; // all queues of a TAP have the same
    // Refused without CSUM (§5.1.3.1); those of the last driver must go, too.
    if (!backend.setOffload(offload)) backend.setOffload(0);
    const tso = has(NetFeature.GUEST_TSO4) || has(NetFeature.GUEST_TSO6);
    const frameMax = NET_HEADER_SIZE +
      (tso ? TSO_FRAME : backend.mtu + ETHERNET_HEADER);
    // §5.1.2: behind all pairs, or behind the only one.
    const pairs = has(NetFeature.MQ) ? this.#pairs.length : 1;
    this.#controlQueue = has(NetFeature.CTRL_VQ) ? 2 * pairs : -1;
    for (const pair of this.#pairs) {
      pair.activate(frameMax, has(NetFeature.MRG_RXBUF));
    }
  }

  notify(queue: VirtQueue): void {
    if (queue.index === this.#controlQueue) {
      this.#control.run(queue);
    } else {
      this.#pairs[queue.index >> 1]?.notify(queue);
    }
  }

  /** Frames that wait for room are lost, as on a wire. */
  quiesce(): void {
    for (const pair of this.#pairs) pair.quiesce();
  }

  /** How many pairs are in use. */
  save(): NetSaved {
    return { pairs: this.#pairs.filter(({ inUse }) => inUse).length };
  }

  /** Goes on with as many pairs. */
  restore(saved: unknown): void {
    this.activate();
    const { pairs } = (saved ?? {}) as NetSaved;
    if (!Number.isInteger(pairs) || !this.setPairs(pairs)) {
      throw new VireoError(`net: ${pairs} pairs of queues can't be restored`);
    }
  }

  reset(queue?: VirtQueue): void {
    for (const pair of this.#pairs) pair.reset(queue);
    if (queue !== undefined) return;
    this.#controlQueue = -1;
    this.setPairs(1);
    // The next driver has the address that the device came with.
    this.#context.config.set(this.config.subarray(0, NetConfig.status));
  }

  poll(): boolean {
    let worked = false;
    for (let i = 0; i < this.#pairs.length; i++) {
      if (this.#pairs[i]!.poll()) worked = true;
    }
    return worked;
  }

  enable(): boolean {
    for (let i = 0; i < this.#pairs.length; i++) {
      if (this.#pairs[i]!.pending) return true;
    }
    return false;
  }

  close(): void {
    this.#limiters.rx?.close();
    this.#limiters.tx?.close();
    for (const pair of this.#pairs) pair.close();
  }

  /**
   * `"announce"` asks the driver to tell its neighbours where it is, after it
   * has moved (§5.1.6.5.4).
   */
  command(command: unknown): void {
    const { rx: rx_rate_limiter, tx: tx_rate_limiter } = this.#limiters;
    if (changeLimits(command, { rx_rate_limiter, tx_rate_limiter })) return;
    if (command !== "announce") {
      throw new VireoError(`net: the only command is "announce"`);
    }
    if (!this.#context.hasFeature(NetFeature.GUEST_ANNOUNCE)) {
      throw new VireoError("net: the driver does not announce itself");
    }
    this.#context.configChanged((config) => {
      config[NetConfig.status]! |= NetStatus.ANNOUNCE;
    });
  }

  /** Those above `count` are not asked for frames any more. */
  setPairs(count: number): boolean {
    const most = this.#context.hasFeature(NetFeature.MQ)
      ? this.#pairs.length
      : 1;
    if (count < 1 || count > most) return false;
    this.#pairs.forEach((pair, index) => pair.setInUse(index < count));
    return true;
  }

  setAddress(mac: Uint8Array): void {
    this.#context.configChanged((config) => config.set(mac, NetConfig.mac));
  }

  announced(): void {
    // Not told: it is the driver who changes it (§5.1.6.5.4.1).
    this.#context.config[NetConfig.status]! &= ~NetStatus.ANNOUNCE;
  }

  /** Pairs go on when `limiter` lets: who waits longest comes first. */
  #share(limiter: RateLimiter, goOn: (pair: NetPair) => void): void {
    const pairs = this.#pairs;
    let next = 0;
    limiter.attach(this.#context, () => {
      for (let i = 0; i < pairs.length && !limiter.blocked; i++) {
        const pair = pairs[next]!;
        next = (next + 1) % pairs.length;
        goOn(pair);
      }
    });
  }

  /** The backend is gone: the driver sees the link go down. */
  #linkDown(): void {
    for (const pair of this.#pairs) pair.linkDown();
    this.#context.configChanged((config) => {
      config[NetConfig.status]! &= ~NetStatus.LINK_UP;
    });
  }
}
