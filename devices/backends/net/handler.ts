/**
 * Frames to and from a TypeScript function: a network of one's own.
 *
 * @module
 */
import { Errno } from "../../../ffi/errno.ts";
import { EventFd } from "../../../ffi/eventfd.ts";
import type { GuestMemory } from "../../../guest/memory.ts";
import type { Frame, NetBackend } from "./backend.ts";
import { copyIn, copyOut, frameBytes } from "./copy.ts";

/**
 * Gets each Ethernet frame that the guest sends, from its destination address
 * on and without checksum, and answers with frames for the guest, or nothing.
 * It runs on the device worker, which does nothing else meanwhile and has no
 * event loop: no timers, no promises.
 */
export type FrameHandler = (
  frame: Uint8Array<ArrayBuffer>,
) => Uint8Array | readonly Uint8Array[] | undefined;

const FRAME_MAX = 65535 + 18;
/** Frames that wait for the guest; more are lost, as in a switch. */
const QUEUE_MAX = 1024;
const BATCH = 32;

/** A backend over a {@linkcode FrameHandler}. */
export class HandlerBackend implements NetBackend {
  /** Readable while frames wait. */
  readonly fd: number;
  readonly mtu: number;
  readonly offloads = false;
  readonly batch: number = BATCH;
  readonly results: Int32Array = new Int32Array(BATCH);
  readonly #handler: FrameHandler;
  readonly #memory: GuestMemory;
  readonly #header: Uint8Array;
  readonly #log: (message: string) => void;
  readonly #waiting: Uint8Array[] = [];
  readonly #readable = new EventFd();
  #failed = false;

  /**
   * Frames go to `handler`.
   *
   * @param memory the guest's RAM
   * @param headerSize bytes in front of a frame that are the device's alone
   * @param log hears of the handler's first exception
   */
  constructor(
    handler: FrameHandler,
    memory: GuestMemory,
    headerSize: number,
    log: (message: string) => void,
    mtu = 1500,
  ) {
    this.#handler = handler;
    this.#memory = memory;
    this.#header = new Uint8Array(headerSize);
    this.#log = log;
    this.mtu = mtu;
    this.fd = this.#readable.fd;
  }

  send(frames: readonly Frame[], count: number): void {
    const before = this.#waiting.length;
    for (let i = 0; i < count; i++) this.results[i] = this.#send(frames[i]!);
    if (before === 0 && this.#waiting.length > 0) this.#readable.signal();
  }

  receive(frame: Frame): number {
    const bytes = this.#waiting.shift();
    if (this.#waiting.length === 0) this.#readable.drain();
    if (bytes === undefined) return -Errno.EAGAIN;
    copyIn(this.#memory, frame, 0, this.#header);
    copyIn(this.#memory, frame, this.#header.length, bytes);
    return this.#header.length + bytes.length;
  }

  /** None can be had: the handler gets bare frames. */
  setOffload(offload: number): boolean {
    return offload === 0;
  }

  close(): void {
    this.#readable.close();
  }

  #send(frame: Frame): number {
    const { length: header } = this.#header;
    const length = frameBytes(frame) - header;
    if (length < 1 || length > FRAME_MAX) return -Errno.EINVAL;
    const bytes = new Uint8Array(length);
    copyOut(this.#memory, frame, header, bytes);
    try {
      const answer = this.#handler(bytes) ?? [];
      const frames = answer instanceof Uint8Array ? [answer] : answer;
      for (const one of frames) this.#answer(one);
    } catch (error) {
      if (!this.#failed) this.#log(`network: frame handler: ${error}`);
      this.#failed = true;
      return -Errno.EIO;
    }
    return header + length;
  }

  #answer(frame: Uint8Array): void {
    if (!(frame instanceof Uint8Array)) {
      throw new TypeError("an answer is no Uint8Array");
    }
    if (frame.length < 1 || frame.length > FRAME_MAX) {
      throw new RangeError(`an answer of ${frame.length} bytes`);
    }
    if (this.#waiting.length < QUEUE_MAX) this.#waiting.push(frame);
  }
}
