/**
 * What a network device sends frames to and receives them from. It knows
 * nothing of virtqueues; a frame carries a `virtio_net_hdr_v1` in front.
 *
 * @module
 */

/** The memory of one frame: the guest's, and behind it some of the device's. */
export interface Frame {
  /** Host address of the iovecs. */
  readonly iovecs: number;
  /** The same as a pointer, made once. */
  readonly pointer: Deno.PointerValue;
  /** Number of iovecs. */
  readonly count: number;
  /** Where the last of them leads, if it is not to the guest. */
  readonly spill?: Uint8Array;
  /** Guest address of iovec `index`, or -1: it leads to the spill. */
  guestAddressAt(index: number): number;
  /** Length of iovec `index` in bytes. */
  lengthAt(index: number): number;
}

/** A source and sink of frames. */
export interface NetBackend {
  /** Becomes readable when a frame waits. */
  readonly fd: number;
  /** The largest IP packet, in bytes. */
  readonly mtu: number;
  /** False: frames must come whole, checksums and segments done. */
  readonly offloads: boolean;
  /** The most frames of one {@linkcode NetBackend.send}. */
  readonly batch: number;
  /**
   * What became of each frame of the last {@linkcode NetBackend.send}: its
   * bytes, or -errno. -EAGAIN: there was no room, the frame is the caller's
   * to send again.
   */
  readonly results: Int32Array;
  /**
   * True: bytes of frames that were taken wait for room. A send, be it of no
   * frames, goes on with them.
   */
  readonly unsent?: boolean;
  /**
   * True: frames wait here that {@linkcode NetBackend.fd} says nothing of.
   */
  readonly buffered?: boolean;
  /** Sends the first `count` of `frames`, in their order. */
  send(frames: readonly Frame[], count: number): void;
  /** Receives one frame. Bytes, or -errno; -EAGAIN when none waits. */
  receive(frame: Frame): number;
  /** What the guest takes: `TapOffload` bits. False when refused. */
  setOffload(offload: number): boolean;
  /**
   * One of several queues: take it into use, or out of it. Out of use it is
   * not watched, and asked for nothing. False when refused.
   */
  setInUse?(on: boolean): boolean;
  /** Releases what the backend made for itself. */
  close(): void;
}
