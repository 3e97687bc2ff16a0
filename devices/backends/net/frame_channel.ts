/**
 * Frames between a device worker and the main isolate: two rings in shared
 * memory, one each way. Neither waits for the other: what has no room is lost,
 * as in a switch.
 *
 * @module
 */
import { Errno } from "../../../ffi/errno.ts";
import { closeFd } from "../../../ffi/file.ts";
import { libc } from "../../../ffi/libc.ts";
import { socketPair } from "../../../ffi/unix_socket.ts";
import type { GuestMemory } from "../../../guest/memory.ts";
import type { Frame, NetBackend } from "./backend.ts";
import { copyIn, copyOut, frameBytes } from "./copy.ts";
import { FrameRing } from "./frame_ring.ts";
import type { PluggedIn } from "./plug.ts";
import { FRAME_MAX } from "./stream.ts";

// Indexes of 32-bit words, all used atomically.
/** 1: the isolate has been told of frames, and has not looked yet. */
const ISOLATE_TOLD = 0;
/** 1: the device has been told. */
const DEVICE_TOLD = 1;
/** Frames of the guest's for which there was no room. */
const LOST = 2;
/** Only waited for and notified: the event loop's turn. */
const TURN = 3;

const WORDS_BYTES = 64;
const CAPACITY = 512 * 1024;
const TO_ISOLATE = WORDS_BYTES;
const TO_DEVICE = TO_ISOLATE + FrameRing.byteLength(CAPACITY);
const TOTAL = TO_DEVICE + FrameRing.byteLength(CAPACITY);

const BATCH = 32;
/** Frames that the isolate takes before others have their turn. */
const BUDGET = 256;

const one = Uint8Array.of(1);
const few = new Uint8Array(64);

/** A channel as plain data, to hand to the device worker. */
export interface FrameChannel {
  /** The rings. */
  shared: SharedArrayBuffer;
  /** A socket: readable when the device is told, hung up at the end. */
  fd: number;
}

/** The main isolate's end, which makes the channel. */
export class ChannelEnd implements PluggedIn {
  /** The other end's. */
  readonly channel: FrameChannel;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #in: FrameRing;
  readonly #out: FrameRing;
  readonly #fd: number;
  #closed = false;

  /** A channel without frames. */
  constructor() {
    const [fd, ofDevice] = socketPair();
    this.#fd = fd;
    this.channel = { shared: new SharedArrayBuffer(TOTAL), fd: ofDevice };
    const { shared } = this.channel;
    this.#words = new Int32Array(shared, 0, WORDS_BYTES / 4);
    this.#in = new FrameRing(shared, TO_ISOLATE, CAPACITY);
    this.#out = new FrameRing(shared, TO_DEVICE, CAPACITY);
  }

  /** Frames from the guest that were lost on the way. */
  get lost(): number {
    return Atomics.load(this.#words, LOST) >>> 0;
  }

  /** Sends a frame; false when there is no room. */
  send(frame: Uint8Array): boolean {
    const room = this.#closed ? undefined : this.#out.reserve(frame.length);
    if (room === undefined) return false;
    room.set(frame);
    this.#out.push();
    if (Atomics.exchange(this.#words, DEVICE_TOLD, 1) === 0) {
      libc.write_u32(this.#fd, one, 1);
    }
    return true;
  }

  /**
   * Takes frames until the channel is closed.
   *
   * @param take gets each; it is not its own
   * @param rest called when there are no more for now
   */
  async receive(
    take: (frame: Uint8Array) => void,
    rest: () => void,
  ): Promise<void> {
    const words = this.#words;
    while (!this.#closed) {
      Atomics.store(words, ISOLATE_TOLD, 0);
      for (let left = BUDGET; left > 0 && !this.#closed; left--) {
        const frame = this.#in.peek();
        if (frame === undefined) break;
        take(frame);
        this.#in.pop();
      }
      rest();
      // Both ways through the event loop: others have their turn.
      if (this.#closed) break;
      if (this.#in.empty) await this.#told();
      else await this.#turn();
    }
  }

  /** Hangs up. The device's descriptor is to be closed once it has no device. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeFd(this.#fd);
    Atomics.store(this.#words, ISOLATE_TOLD, 1);
    Atomics.notify(this.#words, ISOLATE_TOLD);
  }

  /** Closes both ends: nobody uses the device's any more. */
  [Symbol.dispose](): void {
    this.close();
    closeFd(this.channel.fd);
  }

  /** The device has frames. */
  #told(): Promise<unknown> {
    const wait = Atomics.waitAsync(this.#words, ISOLATE_TOLD, 0);
    return wait.async ? wait.value : this.#turn();
  }

  #turn(): Promise<unknown> {
    const wait = Atomics.waitAsync(this.#words, TURN, 0);
    Atomics.notify(this.#words, TURN);
    return wait.value as Promise<unknown>;
  }
}

/** The device worker's end. */
export class ChannelBackend implements NetBackend {
  readonly fd: number;
  readonly mtu: number;
  readonly offloads = false;
  readonly batch: number = BATCH;
  readonly results: Int32Array = new Int32Array(BATCH);
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #in: FrameRing;
  readonly #out: FrameRing;
  readonly #memory: GuestMemory;
  readonly #header: Uint8Array; // of each frame of the device, all zeros

  /**
   * This thread's view.
   *
   * @param memory the guest's RAM
   * @param headerSize bytes in front of a frame that are the device's alone
   */
  constructor(
    { shared, fd }: FrameChannel,
    memory: GuestMemory,
    headerSize: number,
    mtu = 1500,
  ) {
    this.fd = fd;
    this.mtu = mtu;
    this.#words = new Int32Array(shared, 0, WORDS_BYTES / 4);
    this.#out = new FrameRing(shared, TO_ISOLATE, CAPACITY);
    this.#in = new FrameRing(shared, TO_DEVICE, CAPACITY);
    this.#memory = memory;
    this.#header = new Uint8Array(headerSize);
  }

  /** Looking is cheaper here than asking for the descriptor. */
  get buffered(): boolean {
    return !this.#in.empty;
  }

  send(frames: readonly Frame[], count: number): void {
    for (let i = 0; i < count; i++) this.results[i] = this.#send(frames[i]!);
    if (this.#out.empty) return;
    if (Atomics.exchange(this.#words, ISOLATE_TOLD, 1) === 0) {
      Atomics.notify(this.#words, ISOLATE_TOLD);
    }
  }

  receive(frame: Frame): number {
    const bytes = this.#in.peek() ?? this.#lastLook();
    if (bytes === undefined) return -Errno.EAGAIN;
    const { length: header } = this.#header;
    copyIn(this.#memory, frame, 0, this.#header);
    copyIn(this.#memory, frame, header, bytes);
    this.#in.pop();
    return header + bytes.length;
  }

  /** None can be had: there is no header to say it in. */
  setOffload(offload: number): boolean {
    return offload === 0;
  }

  /** The descriptor is the isolate's. */
  close(): void {}

  #send(frame: Frame): number {
    const { length: header } = this.#header;
    const length = frameBytes(frame) - header;
    if (length < 1 || length > FRAME_MAX) return -Errno.EINVAL;
    const room = this.#out.reserve(length);
    if (room === undefined) Atomics.add(this.#words, LOST, 1);
    else {
      copyOut(this.#memory, frame, header, room);
      this.#out.push();
    }
    return header + length;
  }

  /** From now on the device is told; what came just before is here. */
  #lastLook(): Uint8Array | undefined {
    libc.read_u32(this.fd, few, few.length);
    Atomics.store(this.#words, DEVICE_TOLD, 0);
    return this.#in.peek();
  }
}
