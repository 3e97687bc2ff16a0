/**
 * What a network device sends frames to and receives them from. It knows
 * nothing of virtqueues; a frame carries a `virtio_net_hdr_v1` in front.
 *
 * @module
 */

/** A source and sink of frames. */
export interface NetBackend {
  /** Becomes readable when a frame waits. */
  readonly fd: number;
  /** The largest IP packet, in bytes. */
  readonly mtu: number;
  /**
   * Sends one frame from `count` iovecs at `iovecs`. Bytes, or -errno; -EAGAIN when there is no room now.
   */
  send(iovecs: Deno.PointerValue, count: number): number;
  /** Receives one frame. Bytes, or -errno; -EAGAIN when none waits. */
  receive(iovecs: Deno.PointerValue, count: number): number;
  /** What the guest takes: `TapOffload` bits. False when refused. */
  setOffload(offload: number): boolean;
}
