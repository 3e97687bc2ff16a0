/**
 * Captures what goes through a backend, in the file format of libpcap
 * (pcap-savefile(5)), which tcpdump and Wireshark read.
 *
 * @module
 */
import { libc } from "../../../ffi/libc.ts";
import type { GuestMemory } from "../../../guest/memory.ts";
import type { Frame, NetBackend } from "./backend.ts";
import { copyOut } from "./copy.ts";

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const VERSION = [2, 4] as const;
const LINKTYPE_ETHERNET = 1;
const FILE_HEADER_SIZE = 24;
const RECORD_HEADER_SIZE = 16;
/** Bytes of a frame that are kept: all. */
const SNAPLEN = 65535 + 18;
const BUFFER_SIZE = 256 * 1024;

/**
 * A backend around another. What it captures is written in batches: when the
 * buffer is full, after each send, and when no more frames come.
 */
export class PcapBackend implements NetBackend {
  readonly fd: number;
  readonly mtu: number;
  readonly offloads: boolean;
  readonly batch: number;
  readonly results: Int32Array;
  readonly #inner: NetBackend;
  readonly #file: number;
  readonly #memory: GuestMemory;
  readonly #headerSize: number;
  readonly #bytes = new Uint8Array(BUFFER_SIZE);
  readonly #view = new DataView(this.#bytes.buffer);
  #end = 0;
  #full = false;

  /**
   * Captures what goes through `inner`.
   *
   * @param file where to: a descriptor that stays its owner's, on which
   *   {@linkcode pcapHeader} was written
   * @param memory the guest's RAM
   * @param headerSize bytes in front of a frame that are the device's alone
   */
  constructor(
    inner: NetBackend,
    file: number,
    memory: GuestMemory,
    headerSize: number,
  ) {
    this.#inner = inner;
    this.#file = file;
    this.#memory = memory;
    this.#headerSize = headerSize;
    this.fd = inner.fd;
    this.mtu = inner.mtu;
    this.offloads = inner.offloads;
    this.batch = inner.batch;
    this.results = inner.results;
  }

  get unsent(): boolean {
    return this.#inner.unsent ?? false;
  }

  get buffered(): boolean {
    return this.#inner.buffered ?? false;
  }

  /** Only what the inner backend took is captured. */
  send(frames: readonly Frame[], count: number): void {
    this.#inner.send(frames, count);
    for (let i = 0; i < count; i++) {
      if (this.results[i]! > 0) this.#capture(frames[i]!, this.results[i]!);
    }
    this.#write();
  }

  /** When nothing waits any more, the capture goes to the file. */
  receive(frame: Frame): number {
    const length = this.#inner.receive(frame);
    if (length > 0) this.#capture(frame, length);
    else this.#write();
    return length;
  }

  setOffload(offload: number): boolean {
    return this.#inner.setOffload(offload);
  }

  setInUse(on: boolean): boolean {
    return this.#inner.setInUse?.(on) ?? false;
  }

  /** The file stays open: its owner closes it. */
  close(): void {
    this.#write();
    this.#inner.close();
  }

  #capture(frame: Frame, bytes: number): void {
    const length = bytes - this.#headerSize;
    if (length < 1 || this.#full) return;
    const kept = Math.min(length, SNAPLEN);
    if (this.#end + RECORD_HEADER_SIZE + kept > BUFFER_SIZE) this.#write();
    const now = performance.timeOrigin + performance.now();
    const seconds = Math.floor(now / 1000);
    const view = this.#view;
    view.setUint32(this.#end, seconds, true);
    view.setUint32(this.#end + 4, (now - seconds * 1000) * 1000, true);
    view.setUint32(this.#end + 8, kept, true);
    view.setUint32(this.#end + 12, length, true);
    const start = this.#end + RECORD_HEADER_SIZE;
    const target = this.#bytes.subarray(start, start + kept);
    copyOut(this.#memory, frame, this.#headerSize, target);
    this.#end = start + kept;
  }

  #write(): void {
    if (this.#end === 0) return;
    const bytes = this.#bytes.subarray(0, this.#end);
    const written = libc.write_u32(this.#file, bytes, bytes.length);
    // A full disk ends the capture, in the midst of a record or not; the
    // network goes on.
    this.#full = written < bytes.length;
    this.#end = 0;
  }
}

/** What a capture file begins with. */
export function pcapHeader(): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(FILE_HEADER_SIZE));
  view.setUint32(0, MAGIC_MICROSECONDS, true);
  view.setUint16(4, VERSION[0], true);
  view.setUint16(6, VERSION[1], true);
  view.setUint32(16, SNAPLEN, true);
  view.setUint32(20, LINKTYPE_ETHERNET, true);
  return new Uint8Array(view.buffer);
}
