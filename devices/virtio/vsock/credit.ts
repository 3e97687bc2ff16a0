/**
 * The flow control of a stream (virtio 1.2 §5.10.6.3): each side says how much
 * room it has, and how much it has taken.
 *
 * @module
 */
import type { VsockPacket } from "./packet.ts";

/**
 * Bytes that the guest may send ahead of the host program, and that are kept
 * for it while it doesn't read.
 */
export const VSOCK_BUFFER = 128 * 1024;

// Bytes, modulo 2^32 as on the wire. In a typed array: a field that outgrows a
// small integer would be allocated anew at each change.
const BUF_ALLOC = 0; // the guest's buffer
const FWD_CNT = 1; // what the guest's program has taken
const SENT = 2; // to the guest
const RECEIVED = 3; // from the guest
const FORWARDED = 4; // to the host program
const REPORTED = 5; // FORWARDED as the guest knows it
const COUNTERS = 6;

/** Both directions' credit. */
export class VsockCredit {
  readonly #counters = new Uint32Array(COUNTERS);

  /** The guest has said what room it has. */
  take(packet: VsockPacket): void {
    this.#counters[BUF_ALLOC] = packet.bufAlloc;
    this.#counters[FWD_CNT] = packet.fwdCnt;
  }

  /** Tells the guest what room there is for it. */
  grant(packet: VsockPacket): void {
    const counters = this.#counters;
    counters[REPORTED] = counters[FORWARDED]!;
    packet.grant(VSOCK_BUFFER, counters[FORWARDED]!);
  }

  /** Bytes that the guest has room for; 0 when its counts can't be. */
  get room(): number {
    const counters = this.#counters;
    const underWay = (counters[SENT]! - counters[FWD_CNT]!) >>> 0;
    return Math.max(0, counters[BUF_ALLOC]! - underWay);
  }

  /** `length` bytes go to the guest. */
  sent(length: number): void {
    this.#counters[SENT]! += length;
  }

  /** `length` bytes came from the guest. False: more than it was allowed. */
  received(length: number): boolean {
    const counters = this.#counters;
    counters[RECEIVED]! += length;
    const ahead = (counters[RECEIVED]! - counters[REPORTED]!) >>> 0;
    return length <= VSOCK_BUFFER && ahead <= VSOCK_BUFFER;
  }

  /** The host program has `length` bytes more. True: the guest should know. */
  forwarded(length: number): boolean {
    const counters = this.#counters;
    counters[FORWARDED]! += length;
    const news = (counters[FORWARDED]! - counters[REPORTED]!) >>> 0;
    return news >= VSOCK_BUFFER / 2;
  }
}
