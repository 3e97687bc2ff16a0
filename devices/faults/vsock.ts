/**
 * Faults of sockets: connections that are refused or break, and what becomes of
 * bytes. Only a device that has them has this.
 *
 * @module
 */
import { HostStream } from "../backends/vsock/host_stream.ts";
import {
  UnixSockets,
  type UnixSocketsHandle,
} from "../backends/vsock/unix_sockets.ts";
import { Events } from "../../ffi/epoll.ts";
import { Errno, errno } from "../../ffi/errno.ts";
import { bytesOf, gather, iovecParts, scatter } from "../../ffi/iovec_parts.ts";
import { libc } from "../../ffi/libc.ts";
import type { Timers } from "../runtime/timers.ts";
import { Delayed } from "./delayed.ts";
import { corrupt, type Fate, type Faults, leastOf } from "./rules.ts";

/** The host's sockets with faults. */
export class FaultySockets extends UnixSockets {
  timers: Timers | undefined;
  readonly #faults: Faults;
  readonly #streams = new Set<FaultyStream>();

  /** On an open listening socket. */
  constructor(handle: UnixSocketsHandle, faults: Faults) {
    super(handle);
    this.#faults = faults;
  }

  override accept(): HostStream | undefined {
    for (;;) {
      const stream = super.accept();
      if (stream === undefined) return undefined;
      const fate = this.#faults.next("connect", 0, 0);
      if (fate?.effect !== "error") return this.#faulty(stream, fate);
      stream.close();
    }
  }

  override connect(port: number): HostStream | undefined {
    const fate = this.#faults.next("connect", 0, 0);
    if (fate?.effect === "error") return undefined;
    const stream = super.connect(port);
    return stream && this.#faulty(stream, fate);
  }

  /** What is stalled goes on. */
  goOn(): void {
    for (const stream of this.#streams) stream.goOn();
  }

  #faulty({ fd }: HostStream, fate: Fate | undefined): FaultyStream {
    const left = fate ? fate.rule.bytes ?? 512 : Infinity;
    const stream = new FaultyStream(
      fd,
      left,
      this.#faults,
      this.timers!,
      () => this.#streams.delete(stream),
    );
    this.#streams.add(stream);
    return stream;
  }
}

/** One connection with faults. */
class FaultyStream extends HostStream {
  readonly #faults: Faults;
  readonly #output = new Delayed();
  readonly #input = new Delayed();
  readonly #closed: () => void;
  #rest = new Uint8Array(); // for the guest, with its fate behind it
  #left: number; // bytes until it breaks
  #isOpen = true;

  constructor(
    fd: number,
    left: number,
    faults: Faults,
    timers: Timers,
    closed: () => void,
  ) {
    super(fd);
    this.#left = left;
    this.#faults = faults;
    this.#closed = closed;
    this.#output.timers = this.#input.timers = timers;
    const ready = (events: number) => () => {
      if (this.#isOpen) this.again(events);
    };
    this.#output.over = ready(Events.OUT);
    this.#input.over = ready(Events.IN);
  }

  override read(iovecs: Deno.PointerValue, count: number): number {
    for (;;) {
      if (this.#left < 0) return this.#broken();
      if (this.#input.waits) return -Errno.EAGAIN;
      this.#input.due();
      const parts = partsOf(iovecs, count);
      if (this.#rest.length > 0) return this.#give(parts);
      const length = super.read(iovecs, count);
      if (length <= 0) return length;
      if (length > this.#left) return this.#broken();
      this.#left -= length;
      const fate = this.#faults.next("input", 0, length);
      if (fate === undefined) return length;
      const bytes = gather(parts, length);
      switch (fate.effect) {
        case "drop":
          continue;
        case "corrupt":
          corrupt(bytes, 0, fate);
          scatter(parts, bytes);
          return length;
        case "duplicate":
          this.#rest = bytes;
          return length;
        case "short": {
          const first = leastOf(fate);
          this.#rest = bytes.subarray(first);
          return Math.min(first, length);
        }
        default:
          this.#rest = bytes;
          this.#input.wait(fate);
      }
    }
  }

  override write(iovecs: Deno.PointerValue, count: number): number {
    if (this.#output.waits) return -Errno.EAGAIN;
    const parts = partsOf(iovecs, count);
    const length = bytesOf(parts);
    if (length > this.#left) return this.#break();
    const fate = this.#output.due()
      ? undefined
      : this.#faults.next("output", 0, length);
    const bytes = gather(parts, length);
    switch (fate?.effect) {
      case undefined:
        return this.#put(bytes);
      case "drop":
        return length;
      case "corrupt":
        corrupt(bytes, 0, fate!);
        return this.#put(bytes);
      case "duplicate": {
        const taken = this.#put(bytes);
        if (taken > 0) this.#put(bytes.subarray(0, taken));
        return taken;
      }
      case "short":
        return this.#put(bytes.subarray(0, leastOf(fate!)));
      default:
        this.#output.wait(fate!);
        return -Errno.EAGAIN;
    }
  }

  override close(): void {
    this.#isOpen = false;
    this.#closed();
    super.close();
  }

  /** What is stalled goes on. */
  goOn(): void {
    this.#output.goOn();
    this.#input.goOn();
  }

  /** Both sides are told when the stream is read next. */
  #break(): number {
    this.#left = -1;
    this.#input.forget();
    this.#input.begin(0);
    return -Errno.EAGAIN;
  }

  /** Nothing is read any more. */
  #broken(): number {
    this.#left = -1;
    return -Errno.ECONNRESET;
  }

  #put(bytes: Uint8Array<ArrayBuffer>): number {
    const taken = libc.write_u32(this.fd, bytes, bytes.length);
    if (taken < 0) return -errno();
    this.#left -= taken;
    return taken;
  }

  #give(parts: readonly Uint8Array[]): number {
    const bytes = this.#rest.subarray(0, bytesOf(parts));
    scatter(parts, bytes);
    this.#rest = this.#rest.subarray(bytes.length);
    return bytes.length;
  }
}

function partsOf(iovecs: Deno.PointerValue, count: number): Uint8Array[] {
  return iovecParts(Number(Deno.UnsafePointer.value(iovecs)), count);
}
