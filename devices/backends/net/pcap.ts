/**
 * Captures what goes through a backend.
 *
 * @module
 */
import type { GuestMemory } from "../../../guest/memory.ts";
import { NetAround } from "./around.ts";
import type { Frame, NetBackend } from "./backend.ts";
import { copyOut } from "./copy.ts";
import type { PcapFile } from "./pcap_file.ts";

/**
 * A backend around another. What it captures is written in batches: when the
 * buffer is full, after each send, and when no more frames come.
 */
export class PcapBackend extends NetAround {
  readonly results: Int32Array;
  readonly #file: PcapFile;
  readonly #memory: GuestMemory;
  readonly #headerSize: number;

  /**
   * Captures what goes through `inner`.
   *
   * @param file where to; backends of several queues share it
   * @param memory the guest's RAM
   * @param headerSize bytes in front of a frame that are the device's alone
   */
  constructor(
    inner: NetBackend,
    file: PcapFile,
    memory: GuestMemory,
    headerSize: number,
  ) {
    super(inner);
    this.#file = file;
    this.#memory = memory;
    this.#headerSize = headerSize;
    this.results = inner.results;
  }

  /** Only what the inner backend took is captured. */
  send(frames: readonly Frame[], count: number): void {
    this.inner.send(frames, count);
    for (let i = 0; i < count; i++) {
      if (this.results[i]! > 0) this.#capture(frames[i]!, this.results[i]!);
    }
    this.#file.flush();
  }

  /** When nothing waits any more, the capture goes to the file. */
  receive(frame: Frame): number {
    const length = this.inner.receive(frame);
    if (length > 0) this.#capture(frame, length);
    else this.#file.flush();
    return length;
  }

  /** The file's descriptor stays open: its owner closes it. */
  override close(): void {
    this.#file.close();
    super.close();
  }

  #capture(frame: Frame, bytes: number): void {
    const length = bytes - this.#headerSize;
    const target = length < 1 ? undefined : this.#file.add(length);
    if (target) copyOut(this.#memory, frame, this.#headerSize, target);
  }
}
