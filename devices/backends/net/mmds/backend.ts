/**
 * The metadata service in a network device: a backend around another, which
 * never sees the frames that are for the service. No socket of the host is
 * involved.
 *
 * @module
 */
import type { GuestMemory } from "../../../../guest/memory.ts";
import { NetAround } from "../around.ts";
import type { Frame, NetBackend } from "../backend.ts";
import { copyIn, copyOut, frameBytes } from "../copy.ts";
import { isFor, PEEK } from "./frames.ts";
import type { Mmds } from "./mmds.ts";

/** Frames that wait for the guest; more are lost, as in a switch. */
const QUEUE_MAX = 1024;
const FRAME_MAX = 65_535 + 18;

/** A backend with the service on its link. */
export class MmdsBackend extends NetAround {
  readonly results: Int32Array;
  readonly #mmds: Mmds;
  readonly #memory: GuestMemory;
  readonly #header: Uint8Array;
  readonly #peek = new Uint8Array(PEEK);
  readonly #others: Frame[]; // of a batch, those that go on
  readonly #places: Int32Array; // of those in the batch
  readonly #waiting: Uint8Array[] = [];

  /**
   * Puts `mmds` on the link of `inner`.
   *
   * @param memory the guest's RAM
   * @param headerSize bytes in front of a frame that are the device's alone
   */
  constructor(
    inner: NetBackend,
    mmds: Mmds,
    memory: GuestMemory,
    headerSize: number,
  ) {
    super(inner);
    this.#mmds = mmds;
    this.#memory = memory;
    this.#header = new Uint8Array(headerSize);
    this.results = new Int32Array(inner.batch);
    this.#places = new Int32Array(inner.batch);
    this.#others = new Array<Frame>(inner.batch);
  }

  override get buffered(): boolean {
    return this.#waiting.length > 0 || super.buffered;
  }

  send(frames: readonly Frame[], count: number): void {
    let others = 0;
    for (let i = 0; i < count; i++) {
      const frame = frames[i]!;
      const length = frameBytes(frame);
      if (this.#isMine(frame, length)) {
        this.results[i] = length;
        this.#take(frame, length);
      } else {
        this.#places[others] = i;
        this.#others[others++] = frame;
      }
    }
    if (others === 0 && count > 0) return;
    this.inner.send(this.#others, others);
    for (let i = 0; i < others; i++) {
      this.results[this.#places[i]!] = this.inner.results[i]!;
    }
  }

  receive(frame: Frame): number {
    const bytes = this.#waiting.shift();
    if (bytes === undefined) return this.inner.receive(frame);
    const { length } = this.#header;
    copyIn(this.#memory, frame, 0, this.#header);
    copyIn(this.#memory, frame, length, bytes);
    return length + bytes.length;
  }

  #isMine(frame: Frame, length: number): boolean {
    const { length: header } = this.#header;
    const peek = this.#peek;
    if (length < header + 34 || length > header + FRAME_MAX) return false;
    peek.fill(0);
    copyOut(this.#memory, frame, header, peek);
    return isFor(peek, this.#mmds.address);
  }

  #take(frame: Frame, length: number): void {
    const bytes = new Uint8Array(length - this.#header.length);
    copyOut(this.#memory, frame, this.#header.length, bytes);
    for (const reply of this.#mmds.take(bytes)) {
      if (this.#waiting.length < QUEUE_MAX) this.#waiting.push(reply);
    }
  }
}
