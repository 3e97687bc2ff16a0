/**
 * The network device without a TAP and without a guest: from descriptors to
 * the backend and back.
 *
 *     deno bench -A bench/net_bench.ts
 *
 * @module
 */
import type { NetBackend } from "../devices/backends/net/backend.ts";
import { NetFeature, NetQueue } from "../devices/virtio/net/spec.ts";
import { NetDriver, PLAIN } from "../devices/virtio/testing/net.ts";
import { Feature } from "../devices/virtio/spec.ts";
import type { StartOptions } from "../devices/virtio/testing/mod.ts";
import type { DriverQueue } from "../devices/virtio/testing/queue.ts";
import { Errno } from "../ffi/errno.ts";
import { EventFd } from "../ffi/eventfd.ts";

const BATCH = 32;

/** A backend that takes everything and has as many frames as it's told. */
class NullNet implements NetBackend {
  readonly fd = new EventFd().fd;
  readonly mtu = 1500;
  frames = 0;
  length = 72;
  readonly offloads = true;
  readonly batch = BATCH;
  readonly results = new Int32Array(BATCH).fill(76);
  send(): void {}
  receive(): number {
    if (this.frames === 0) return -Errno.EAGAIN;
    this.frames--;
    return this.length;
  }
  setOffload(): boolean {
    return true;
  }
  close(): void {}
}

/** A driver whose available rings are full of chains, again and again. */
class Frames {
  readonly net = new NullNet();
  readonly driver: NetDriver;

  constructor(options: StartOptions, ...lengths: number[]) {
    this.driver = new NetDriver(this.net, { ...options, awake: true });
    const { tx, rx } = this.driver;
    fill(
      tx,
      () => tx.add(lengths.map((n) => this.driver.buffer(new Uint8Array(n)))),
    );
    fill(rx, () => rx.add(lengths.map((n) => this.driver.room(n))));
    this.driver.ring(NetQueue.TRANSMIT);
    this.driver.ring(NetQueue.RECEIVE);
    // What is posted now, the device holds: frames use it up.
    this.receive(rx.size, 0);
  }

  /** `count` frames from the guest. */
  send(count: number): void {
    const { tx } = this.driver;
    tx.availIdx = (tx.availIdx + count) & 0xffff;
    this.driver.activated.doorbell(NetQueue.TRANSMIT);
  }

  /** `count` frames for the guest, which posts as many `buffers`. */
  receive(count: number, buffers = count): void {
    const { rx } = this.driver;
    rx.availIdx = (rx.availIdx + buffers) & 0xffff;
    this.net.frames = count;
    this.driver.activated.doorbell(NetQueue.RECEIVE);
  }
}

/** Fills the available ring: all descriptors, then the same heads again. */
function fill(queue: DriverQueue, add: () => number): void {
  const heads: number[] = [];
  for (let head = add(); head >= 0; head = add()) heads.push(head);
  for (let i = heads.length; i < queue.size; i++) {
    queue.offer(heads[i % heads.length]!);
  }
}

const plain = new Frames({ features: [...PLAIN, Feature.EVENT_IDX] }, 1526);
const split = new Frames({ features: PLAIN }, 12, 1514);
const merge = new Frames({
  features: [NetFeature.MRG_RXBUF, Feature.EVENT_IDX],
}, 1536);

Deno.bench("TX: one frame, one descriptor", { group: "tx" }, () => {
  plain.send(1);
});
Deno.bench("TX: one frame, header and data", { group: "tx" }, () => {
  split.send(1);
});
Deno.bench(`TX: ${BATCH} frames in a batch`, { group: "tx" }, () => {
  plain.send(BATCH);
});

Deno.bench("RX: one frame", { group: "rx" }, () => {
  plain.receive(1);
});
Deno.bench("RX: one frame, mergeable buffers", { group: "rx" }, () => {
  merge.receive(1);
});
Deno.bench(`RX: ${BATCH} frames, mergeable buffers`, { group: "rx" }, () => {
  merge.receive(BATCH);
});
