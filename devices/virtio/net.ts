/**
 * The network device (virtio 1.2 §5.1).
 *
 * Frames go by one vectored read or write straight between guest memory and
 * the backend, with their `virtio_net_hdr_v1` in front, so that checksum and
 * segmentation offloads are the host kernel's.
 *
 * @module
 */
import { Errno } from "../../ffi/errno.ts";
import { Events } from "../../ffi/epoll.ts";
import { TapOffload } from "../../ffi/tap.ts";
import type { Watcher } from "../event_loop.ts";
import type { NetBackend } from "../net/backend.ts";
import { ChainPool, type DescriptorChain } from "./chain.ts";
import type { DeviceContext, VirtioDevice } from "./device.ts";
import type { VirtQueue } from "./queue.ts";
import { RxWindow } from "./rx_window.ts";
import { DeviceId, Feature, type FeatureWords, featureWords } from "./spec.ts";

/** Feature bits (§5.1.3). */
export const NetFeature = {
  CSUM: 0,
  GUEST_CSUM: 1,
  MTU: 3,
  MAC: 5,
  GUEST_TSO4: 7,
  GUEST_TSO6: 8,
  GUEST_ECN: 9,
  HOST_TSO4: 11,
  HOST_TSO6: 12,
  HOST_ECN: 13,
  MRG_RXBUF: 15,
  STATUS: 16,
} as const;

/** Offsets in `struct virtio_net_config` (§5.1.4). */
export const NetConfig = { mac: 0, status: 6, mtu: 10, SIZE: 12 } as const;

/** `VIRTIO_NET_S_LINK_UP` of the status field. */
const LINK_UP = 1;

/** `sizeof(struct virtio_net_hdr_v1)` (§5.1.6). */
export const NET_HEADER_SIZE = 12;
const HEADER_NUM_BUFFERS = 10;

/** Queue numbers (§5.1.2). */
export const NetQueue = { RECEIVE: 0, TRANSMIT: 1 } as const;

const QUEUE_SIZE = 256;
const ETHERNET_HEADER = 18; // with a VLAN tag
/** The largest frame with segmentation offload (§5.1.6.3.1). */
const TSO_FRAME = 65550;
/** Frames per turn, so that one device doesn't starve the others. */
const BUDGET = 256;
/** Frames between two looks at whether the driver wants an interrupt. */
const BATCH = 64;

/** A virtio network device over a backend. */
export class Net implements VirtioDevice, Watcher {
  /** See {@linkcode VirtioDevice.deviceId}. */
  readonly deviceId: number = DeviceId.NET;
  /** See {@linkcode VirtioDevice.features}. */
  readonly features: FeatureWords = featureWords(
    Feature.INDIRECT_DESC,
    Feature.EVENT_IDX,
    ...Object.values(NetFeature),
  );
  /** See {@linkcode VirtioDevice.queueSizes}. */
  readonly queueSizes: readonly number[] = [QUEUE_SIZE, QUEUE_SIZE];
  /** See {@linkcode VirtioDevice.config}. */
  readonly config: Uint8Array;
  readonly #backend: NetBackend;
  readonly #pool = new ChainPool(2, QUEUE_SIZE);
  readonly #rxChain: DescriptorChain = this.#pool.chains[0]!;
  readonly #txChain: DescriptorChain = this.#pool.chains[1]!;
  readonly #window = new RxWindow(
    QUEUE_SIZE,
    NET_HEADER_SIZE + TSO_FRAME,
  );
  #context!: DeviceContext;
  #mergeable = false;
  #frameMax = 0; // bytes that a frame with its header may need
  #interest = 0; // what the backend's descriptor is watched for
  #txWaiting = false; // #txChain waits for room in the backend
  #linkUp = true;
  // A frame that is larger than what is posted waits for more buffers: its
  // length, and how much of it they hold. The rest is in the window's spill.
  #held = 0;
  #heldInBuffers = 0;

  /** An interface on `backend` with the address `mac`, six bytes. */
  constructor(backend: NetBackend, mac: Uint8Array) {
    this.#backend = backend;
    const config = new DataView(new ArrayBuffer(NetConfig.SIZE));
    this.config = new Uint8Array(config.buffer);
    this.config.set(mac, NetConfig.mac);
    config.setUint16(NetConfig.status, LINK_UP, true);
    config.setUint16(NetConfig.mtu, backend.mtu, true);
  }

  /** See {@linkcode VirtioDevice.attach}. */
  attach(context: DeviceContext): void {
    this.#context = context;
    context.watch(this.#backend.fd, this, 0);
  }

  /** See {@linkcode VirtioDevice.activate}. */
  activate(): void {
    const has = (bit: number) => this.#context.hasFeature(bit);
    this.#mergeable = has(NetFeature.MRG_RXBUF);
    const tso = has(NetFeature.GUEST_TSO4) || has(NetFeature.GUEST_TSO6);
    this.#frameMax = NET_HEADER_SIZE +
      (tso ? TSO_FRAME : this.#backend.mtu + ETHERNET_HEADER);
    const offload = (has(NetFeature.GUEST_CSUM) ? TapOffload.CSUM : 0) |
      (has(NetFeature.GUEST_TSO4) ? TapOffload.TSO4 : 0) |
      (has(NetFeature.GUEST_TSO6) ? TapOffload.TSO6 : 0) |
      (has(NetFeature.GUEST_ECN) ? TapOffload.TSO_ECN : 0);
    // Refused without CSUM (§5.1.3.1); those of the last driver must go, too.
    if (!this.#backend.setOffload(offload)) this.#backend.setOffload(0);
    this.#receive();
  }

  /** See {@linkcode VirtioDevice.notify}. */
  notify(queue: VirtQueue): void {
    if (queue.index === NetQueue.TRANSMIT) this.#transmit(queue);
    else this.#receive();
  }

  /** The backend has frames, or room again, or is gone. */
  ready(events: number): void {
    if (events & (Events.ERR | Events.HUP)) return this.#linkDown();
    if (events & Events.OUT) {
      this.#watch(this.#interest & ~Events.OUT);
      const queue = this.#context.queues[NetQueue.TRANSMIT]!;
      if (queue.live) this.#transmit(queue);
    }
    if (events & Events.IN) this.#receive();
  }

  /** See {@linkcode VirtioDevice.reset}. */
  reset(queue?: VirtQueue): void {
    if (queue?.index !== NetQueue.TRANSMIT) {
      this.#window.clear();
      this.#held = 0;
      this.#watch(this.#interest & ~Events.IN);
    }
    if (queue?.index !== NetQueue.RECEIVE) {
      this.#txWaiting = false;
      this.#watch(this.#interest & ~Events.OUT);
    }
  }

  /** See {@linkcode VirtioDevice.close}. */
  close(): void {
    if (this.#linkUp) this.#context.unwatch(this.#backend.fd);
    this.#window.close();
    this.#pool.close();
  }

  /** §5.1.6.2: one frame per chain. */
  #transmit(queue: VirtQueue): void {
    let sent = 0;
    do {
      queue.disableNotification();
      while (this.#txWaiting || queue.pop(this.#txChain)) {
        this.#txWaiting = !this.#send(queue);
        if (this.#txWaiting) {
          this.#context.publish(queue);
          return this.#watch(this.#interest | Events.OUT);
        }
        if (++sent % BATCH === 0) this.#context.publish(queue);
        if (sent >= BUDGET && this.#context.polled) break;
      }
      this.#context.publish(queue);
    } while (
      queue.enableNotification() && !(sent >= BUDGET && this.#context.polled)
    );
  }

  /** Sends the current chain; false when the backend has no room. */
  #send(queue: VirtQueue): boolean {
    const { head, readable } = this.#txChain;
    // A frame that the backend refuses is lost, as on a wire.
    const result = this.#linkUp && readable.count > 0
      ? this.#backend.send(readable.pointer, readable.count)
      : 0;
    if (result === -Errno.EAGAIN) return false;
    queue.push(head, 0);
    return true;
  }

  /** §5.1.6.4: frames into posted buffers, until one of them runs out. */
  #receive(): void {
    const queue = this.#context.queues[NetQueue.RECEIVE]!;
    if (!queue.live || !this.#linkUp) return;
    for (let frames = 1; frames <= BUDGET; frames++) {
      if (!this.#fill(queue)) {
        // Frames wait in the backend until the driver posts buffers.
        this.#watch(this.#interest & ~Events.IN);
        this.#context.publish(queue);
        return;
      }
      if (!this.#receiveOne(queue)) break;
      if (frames % BATCH === 0) this.#context.publish(queue);
    }
    this.#context.publish(queue);
    this.#watch(this.#interest | Events.IN);
  }

  /** Takes posted buffers; false when the driver must post more first. */
  #fill(queue: VirtQueue): boolean {
    const window = this.#window;
    while (!this.#frameFits(queue)) {
      if (!window.hasRoomFor(queue.size)) break;
      if (!queue.hasAvailable) {
        if (this.#mayReceive(queue)) break;
        if (!queue.enableNotification()) return false;
      }
      if (!queue.pop(this.#rxChain)) return false;
      if (this.#rxChain.writable.bytes < NET_HEADER_SIZE) {
        this.#context.needsReset("net: receive buffer without room");
        return false;
      }
      window.add(this.#rxChain);
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
  #receiveOne(queue: VirtQueue): boolean {
    const window = this.#window;
    if (this.#held > 0) {
      this.#deliverHeld(queue);
      return true;
    }
    const length = this.#backend.receive(window.pointer, window.count);
    if (length < 0) return length === -Errno.EINTR;
    if (length <= window.bytes) {
      this.#deliver(queue, length);
    } else if (this.#mergeable) {
      this.#held = length;
      this.#heldInBuffers = window.bytes;
    } // else it will never fit: it is dropped, and its buffer used again
    return true;
  }

  /** The frame that waited; it is dropped if the whole queue is too small. */
  #deliverHeld(queue: VirtQueue): void {
    const length = this.#held;
    this.#held = 0;
    if (length > this.#window.bytes) return;
    this.#window.unspill(this.#context.memory, this.#heldInBuffers, length);
    this.#deliver(queue, length);
  }

  #deliver(queue: VirtQueue, length: number): void {
    const window = this.#window;
    const { memory } = this.#context;
    let buffers = 1;
    let covered = window.firstBytes;
    while (covered < length) covered += window.sizeOf(buffers++);
    // §5.1.6.4: num_buffers is 1 without mergeable buffers, too.
    window.poke(memory, HEADER_NUM_BUFFERS, buffers & 0xff);
    window.poke(memory, HEADER_NUM_BUFFERS + 1, buffers >> 8);
    let left = length;
    for (let i = 0; i < buffers; i++) {
      const written = Math.min(left, window.firstBytes);
      queue.push(window.firstHead, written);
      window.shift();
      left -= written;
    }
  }

  /** The TAP is gone: the driver sees the link go down. */
  #linkDown(): void {
    this.#linkUp = false;
    this.#context.unwatch(this.#backend.fd);
    this.#context.configChanged((config) => {
      config[NetConfig.status] = 0;
    });
    // There will never be room for a frame that waits: it is lost.
    const queue = this.#context.queues[NetQueue.TRANSMIT]!;
    if (this.#txWaiting && queue.live) this.#transmit(queue);
  }

  #watch(events: number): void {
    if (events === this.#interest || !this.#linkUp) return;
    this.#interest = events;
    this.#context.modifyWatch(this.#backend.fd, events);
  }
}
