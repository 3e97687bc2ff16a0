/**
 * For tests of the network device: frames as a driver sees them (virtio 1.2
 * §5.1.6).
 *
 * @module
 */
import assert from "node:assert/strict";
import type { NetBackend } from "../../backends/net/backend.ts";
import { Net } from "../net/net.ts";
import type { NetLimiters } from "../net/pair.ts";
import { NET_HEADER_SIZE, NetFeature, NetQueue } from "../net/spec.ts";
import { Feature } from "../spec.ts";
import {
  MockDriver,
  type MockDriverOptions,
  type StartOptions,
} from "./mod.ts";
import type { DriverBuffer, DriverQueue } from "./queue.ts";

/** The MAC address of a {@linkcode NetDriver}'s device. */
export const MAC = Uint8Array.of(2, 0x56, 1, 2, 3, 4);

/** Features of a driver without mergeable buffers and offloads. */
export const PLAIN: readonly number[] = [
  NetFeature.MAC,
  NetFeature.STATUS,
  Feature.INDIRECT_DESC,
];

/** A frame of `length` bytes with a header of zeros in front. */
export function frame(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(NET_HEADER_SIZE + length);
  for (let i = NET_HEADER_SIZE; i < bytes.length; i++) {
    bytes[i] = (i * 31 + seed * 97) & 0xff;
  }
  return bytes;
}

/** The frame as a driver should see it, in `buffers` buffers. */
export function received(bytes: Uint8Array, buffers = 1): Uint8Array {
  const copy = bytes.slice();
  new DataView(copy.buffer).setUint16(10, buffers, true);
  return copy;
}

/** Fails, with a line per frame, when the frames differ. */
export function assertFrames(
  actual: readonly Uint8Array[],
  expected: readonly Uint8Array[],
): void {
  const lines = (frames: readonly Uint8Array[]) =>
    frames.map((bytes) =>
      `${bytes.length} bytes, header ${bytes.slice(0, NET_HEADER_SIZE)}, ` +
      `sum ${bytes.reduce((sum, byte) => (sum * 33 + byte) >>> 0, 0)}`
    );
  assert.deepEqual(lines(actual), lines(expected));
}

/**
 * What {@linkcode MockDriver.turn} does; but fails when a polling thread would
 * find work for ever.
 */
export function settle({ activated, loop }: MockDriver): number {
  for (let round = 0; activated.poll() || activated.enable(); round++) {
    if (round > 1000) throw new Error("the device's thread never sleeps");
  }
  return loop.turn(0);
}

/** A driver of one network device. */
export class NetDriver extends MockDriver {
  readonly #posted = new Map<number, DriverBuffer[]>();

  /** A device over `backend`, or one per pair of queues; started. */
  constructor(
    backend: NetBackend | readonly NetBackend[],
    options: MockDriverOptions & StartOptions & { limiters?: NetLimiters } = {},
    around = (net: Net) => net,
  ) {
    super(around(new Net([backend].flat(), MAC, options.limiters)), options);
    this.start(options);
  }

  /** The receive queue. */
  get rx(): DriverQueue {
    return this.queues[NetQueue.RECEIVE]!;
  }

  /** The transmit queue. */
  get tx(): DriverQueue {
    return this.queues[NetQueue.TRANSMIT]!;
  }

  /**
   * Gives a command to the control queue, number `queue`.
   *
   * @returns its ack, or -1 when there was none
   */
  control(queue: number, ...data: number[]): number {
    const ack = this.room(1);
    const parts = [data.slice(0, 2), data.slice(2)].filter((p) => p.length > 0);
    const buffers = parts.map((part) => this.buffer(Uint8Array.from(part)));
    const { [queue]: control } = this.queues;
    control!.add([...buffers, ack]);
    this.ring(queue);
    return control!.poll() < 0 ? -1 : this.bytes(ack)[0]!;
  }

  /** Posts `count` receive buffers, each of descriptors of `lengths`. */
  post(count: number, ...lengths: number[]): void {
    for (let i = 0; i < count; i++) {
      const buffers = lengths.map((length) => this.room(length));
      const head = this.rings[NetQueue.RECEIVE]!.add(buffers);
      if (head < 0) throw new Error("the receive queue is full");
      this.#posted.set(head, buffers);
    }
    this.kick(NetQueue.RECEIVE);
  }

  /** The frames that have come, as `num_buffers` says (§5.1.6.4). */
  frames(): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (let first = this.#take(); first !== undefined; first = this.#take()) {
      const parts = [first];
      const view = new DataView(first.buffer, first.byteOffset);
      const buffers = first.length < NET_HEADER_SIZE
        ? 1
        : view.getUint16(10, true);
      while (parts.length < buffers) {
        const part = this.#take();
        if (part === undefined) throw new Error("a frame shown in part");
        parts.push(part);
      }
      frames.push(Uint8Array.from(parts.flatMap((part) => [...part])));
    }
    return frames;
  }

  /** Makes a frame available for transmission; rings no doorbell. */
  queueFrame(...pieces: Uint8Array[]): number {
    const buffers = pieces.map((piece) => this.buffer(piece));
    return this.rings[NetQueue.TRANSMIT]!.add(buffers);
  }

  /** What the driver gets back of a posted buffer, or undefined. */
  #take(): Uint8Array | undefined {
    const ring = this.rings[NetQueue.RECEIVE]!;
    const head = ring.poll();
    if (head < 0) return undefined;
    const buffers = this.#posted.get(head);
    if (buffers === undefined) throw new Error(`chain ${head} not posted`);
    this.#posted.delete(head);
    const bytes = buffers.flatMap((buffer) => [...this.bytes(buffer)]);
    return Uint8Array.from(bytes).subarray(0, ring.usedLength);
  }
}
