/**
 * Faults of a network: a backend around another. Only an interface that has
 * them has this.
 *
 * @module
 */
import { NetAround } from "../backends/net/around.ts";
import type { Frame, NetBackend } from "../backends/net/backend.ts";
import { copyIn, copyOut, frameBytes } from "../backends/net/copy.ts";
import { Errno } from "../../ffi/errno.ts";
import { IOVEC_SIZE, Iovecs } from "../../ffi/iovecs.ts";
import { Mapping } from "../../ffi/memory/mmap.ts";
import type { GuestMemory } from "../../guest/memory.ts";
import type { Timers } from "../runtime/timers.ts";
import { corrupt, delayOf, type Fate, type Faults } from "./rules.ts";

/** Milliseconds after which a frame that waits for the next one goes. */
const REORDER_MAX = 10;
/** The longest frame with its header, and frames that are held, at most. */
const FRAME_MAX = 72 * 1024, HELD_MAX = 1024;

type Bytes = Uint8Array<ArrayBuffer>;

/** A backend with faults. */
export class FaultyNet extends NetAround {
  readonly results: Int32Array;
  timers: Timers | undefined;
  readonly #faults: Faults;
  readonly #memory: GuestMemory;
  readonly #headerSize: number;
  readonly #copy = new CopiedFrame();
  readonly #one: Frame[] = [];
  readonly #waiting: Bytes[] = []; // for the guest
  // Each way: until the next frame, and until there are other rules.
  readonly #held = { send: [] as Bytes[], receive: [] as Bytes[] };
  readonly #stalled = { send: [] as Bytes[], receive: [] as Bytes[] };

  /** Around `inner`, which it closes. */
  constructor(
    inner: NetBackend,
    faults: Faults,
    memory: GuestMemory,
    headerSize: number,
  ) {
    super(inner);
    this.#faults = faults;
    this.#memory = memory;
    this.#headerSize = headerSize;
    this.results = new Int32Array(inner.results.length);
  }

  override get buffered(): boolean {
    return this.#waiting.length > 0 || super.buffered;
  }

  send(frames: readonly Frame[], count: number): void {
    if (count === 0) return this.inner.send(frames, 0);
    for (let i = 0; i < count; i++) {
      this.results[i] = this.#send(frames[i]!);
      if (this.results[i] !== -Errno.EAGAIN) continue;
      this.results.fill(-Errno.EAGAIN, i, count);
      return;
    }
  }

  receive(frame: Frame): number {
    for (;;) {
      const waiting = this.#waiting.shift();
      if (waiting !== undefined) {
        copyIn(this.#memory, frame, 0, waiting);
        return waiting.length;
      }
      const length = this.inner.receive(frame);
      if (length < 0) return length;
      const fate = this.#faults.next("receive", 0, length);
      if (fate === undefined) {
        this.#waiting.push(...this.#held.receive.splice(0));
        return length;
      }
      const bytes = this.#bytesOf(frame, length);
      this.#afflict("receive", bytes, fate);
    }
  }

  /** What was stalled goes on. */
  goOn(): void {
    for (const bytes of this.#stalled.send.splice(0)) this.#put(bytes);
    this.#waiting.push(...this.#stalled.receive.splice(0));
  }

  override close(): void {
    this.#copy.close();
    super.close();
  }

  #send(frame: Frame): number {
    const length = frameBytes(frame);
    const fate = length > FRAME_MAX
      ? undefined
      : this.#faults.next("send", 0, length);
    if (fate === undefined) {
      this.#one[0] = frame;
      this.inner.send(this.#one, 1);
      const result = this.inner.results[0]!;
      for (const bytes of this.#held.send.splice(0)) this.#put(bytes);
      return result;
    }
    if (fate.effect === "error") return -Errno[fate.rule.errno ?? "EIO"];
    this.#afflict("send", this.#bytesOf(frame, length), fate);
    return length;
  }

  /** A frame on its way has a fate. */
  #afflict(way: "send" | "receive", bytes: Bytes, fate: Fate): void {
    const deliver = (bytes: Bytes) =>
      way === "send" ? this.#put(bytes) : void this.#waiting.push(bytes);
    const held = this.#held[way];
    const stalled = this.#stalled[way];
    switch (fate.effect) {
      case "duplicate":
        deliver(bytes);
        return deliver(bytes);
      case "corrupt":
        corrupt(bytes, this.#headerSize, fate);
        return deliver(bytes);
      case "delay":
        return void this.timers!.set(delayOf(fate), () => deliver(bytes));
      case "reorder":
        if (held.length < HELD_MAX) held.push(bytes);
        return void this.timers!.set(
          REORDER_MAX,
          () => held.splice(0).forEach(deliver),
        );
      case "stall":
        if (stalled.length < HELD_MAX) stalled.push(bytes);
    }
  }

  /** Sends a copy; without room it is lost, as on a wire. */
  #put(bytes: Bytes): void {
    this.#copy.set(bytes);
    this.#one[0] = this.#copy;
    this.inner.send(this.#one, 1);
  }

  #bytesOf(frame: Frame, length: number): Bytes {
    const bytes = new Uint8Array(length);
    copyOut(this.#memory, frame, 0, bytes);
    return bytes;
  }
}

/** A frame in memory of the host's. */
class CopiedFrame implements Frame {
  readonly iovecs: number;
  readonly pointer: Deno.PointerValue;
  readonly count = 1;
  readonly spill: Uint8Array;
  readonly #mapping = new Mapping(FRAME_MAX + IOVEC_SIZE, { name: "fault" });
  readonly #iovecs = new Iovecs(this.#mapping, FRAME_MAX, 1);
  #length = 0;

  constructor() {
    this.spill = new Uint8Array(this.#mapping.buffer, 0, FRAME_MAX);
    this.iovecs = this.#iovecs.addressOf(0);
    this.pointer = this.#iovecs.pointerTo(0);
  }

  set(bytes: Uint8Array): void {
    this.spill.set(bytes);
    this.#length = bytes.length;
    this.#iovecs.set(0, this.#mapping.address, bytes.length);
  }

  guestAddressAt(): number {
    return -1;
  }

  lengthAt(): number {
    return this.#length;
  }

  close(): void {
    this.#mapping.unmap();
  }
}
