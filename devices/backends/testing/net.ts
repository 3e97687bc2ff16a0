/**
 * A network in memory for tests: frames are arrays.
 *
 * @module
 */
import { check, Errno } from "../../../ffi/errno.ts";
import { EventFd } from "../../../ffi/eventfd.ts";
import { closeFd } from "../../../ffi/file.ts";
import type { GuestMemory } from "../../../guest/memory.ts";
import { viewOf } from "../../../ffi/memory/mmap.ts";
import {
  gather,
  guestBytes,
  type Iovec,
  readIovecs,
  scatter,
} from "../../../guest/testing/iovecs.ts";
import type { Frame, NetBackend } from "../net/backend.ts";

/** A backend that keeps what the guest sends, and sends what it is told to. */
export class MemoryNet implements NetBackend {
  readonly fd: number;
  readonly mtu: number;
  /** Frames from the guest, with their headers. */
  readonly sent: Uint8Array<ArrayBuffer>[] = [];
  /** How many frames each {@linkcode NetBackend.send} had. */
  readonly batches: number[] = [];
  /** Frames for the guest that it has not taken. */
  readonly waiting: Uint8Array[] = [];
  /** Frames that can be sent before the backend has no room. */
  room = Infinity;
  /** What the next sends and receives fail with; then they work again. */
  readonly failures: number[] = [];
  /** How often a frame was asked for. */
  receives = 0;
  /** What the guest was last said to accept. */
  offload = -1;
  /** Offloads that are refused, as a TAP refuses TSO without checksums. */
  refuse: (offload: number) => boolean = () => false;
  offloads = true;
  /** Whether this queue is in use, where it was said. */
  inUse: boolean | undefined;
  readonly batch = 8;
  readonly results: Int32Array = new Int32Array(this.batch);
  readonly #memory: GuestMemory;
  readonly #readable = new EventFd();
  #spill: Iovec | undefined;
  #spillBytes: Uint8Array<ArrayBuffer> | undefined;

  /** A network for the guest that has `memory`. */
  constructor(memory: GuestMemory, mtu = 1500) {
    this.#memory = memory;
    this.mtu = mtu;
    this.fd = this.#readable.fd;
  }

  /** Frames for the guest, with their headers. */
  deliver(...frames: Uint8Array[]): void {
    this.waiting.push(...frames);
    this.#readable.signal();
  }

  send(frames: readonly Frame[], count: number): void {
    this.batches.push(count);
    for (let i = 0; i < count; i++) this.results[i] = this.#send(frames[i]!);
  }

  #send({ iovecs, count }: Frame): number {
    const ranges = readIovecs(iovecs, count)
      .map((iovec) => guestBytes(this.#memory, iovec));
    const failure = this.failures.shift();
    if (failure !== undefined) return -failure;
    if (this.room <= 0) return -Errno.EAGAIN;
    this.room--;
    const frame = gather(ranges);
    this.sent.push(frame);
    return frame.length;
  }

  /** As a TAP does, it cuts frames off. */
  receive({ iovecs, count }: Frame): number {
    this.receives++;
    const targets = this.#targets(iovecs, count);
    const failure = this.failures.shift();
    if (failure !== undefined) return -failure;
    const frame = this.waiting.shift();
    if (this.waiting.length === 0) this.#readable.drain();
    return frame === undefined ? -Errno.EAGAIN : scatter(frame, targets);
  }

  setOffload(offload: number): boolean {
    if (this.refuse(offload)) return false;
    this.offload = offload;
    return true;
  }

  setInUse(on: boolean): boolean {
    this.inUse = on;
    return true;
  }

  /** Closes the descriptor. */
  close(): void {
    this.#readable.close();
  }

  /** `using` support. */
  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Where a frame goes: guest RAM, and at the very end a spill of the
   * device's own, always the same. Anything else throws.
   */
  #targets(
    iovecs: number,
    count: number,
  ): Uint8Array<ArrayBuffer>[] {
    const given = readIovecs(iovecs, count);
    const last = given.pop()!;
    const ranges = given.map((iovec) => guestBytes(this.#memory, iovec));
    this.#spill ??= last;
    if (last.base !== this.#spill.base || last.length !== this.#spill.length) {
      throw new Error("the last iovec is not the device's spill");
    }
    this.#spillBytes ??= new Uint8Array(viewOf(last.base, last.length));
    return [...ranges, this.#spillBytes];
  }
}

/** A frame in `memory`, in pieces of `lengths` bytes from `address` on. */
export function frameAt(address: number, ...lengths: number[]): Frame {
  const starts = lengths.map((_, i) =>
    lengths.slice(0, i).reduce((sum, length) => sum + length + 16, address)
  );
  return {
    iovecs: 0,
    pointer: null,
    count: lengths.length,
    guestAddressAt: (index) => starts[index]!,
    lengthAt: (index) => lengths[index]!,
  };
}

/** Two connected sockets of frames: what a TAP is, without the privilege. */
export class SocketPair implements Disposable {
  /** The device's end. */
  readonly device: number;
  /** The network's end; -1 after {@linkcode SocketPair.hangUp}. */
  network: number;

  /** Opens both ends, non-blocking; of frames, or a `stream` of bytes. */
  constructor(stream = false) {
    const AF_UNIX = 1;
    const SOCK_NONBLOCK = 0o4000;
    const type = (stream ? 1 : 5) | SOCK_NONBLOCK;
    const library = Deno.dlopen("libc.so.6", {
      socketpair: {
        parameters: ["i32", "i32", "i32", "buffer"],
        result: "i32",
      },
    });
    const ends = new Int32Array(2);
    const { socketpair } = library.symbols;
    check(socketpair(AF_UNIX, type, 0, ends), "socketpair");
    library.close();
    this.device = ends[0]!;
    this.network = ends[1]!;
  }

  /** Closes the network's end: the device's sees EPOLLHUP. */
  hangUp(): void {
    if (this.network >= 0) closeFd(this.network);
    this.network = -1;
  }

  /** Closes both ends. */
  [Symbol.dispose](): void {
    this.hangUp();
    closeFd(this.device);
  }
}
