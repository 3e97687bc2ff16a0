/**
 * MSI-X (PCI Local Bus 3.0 §6.8.2): the table and the pending bits, in shared
 * memory. A vCPU writes the table; the device worker keeps what the table said
 * when it was last told to look, and sends the messages.
 *
 * @module
 */

/** Bytes of a table entry: message address (low, high), data, control. */
export const MSIX_ENTRY_SIZE = 16;
const ENTRY_WORDS = 4;
const CONTROL = 3;
const CONTROL_MASK = 1;

/** Bits of the message control register (§6.8.2.3). */
export const MsixControl = { ENABLE: 1 << 15, MASK: 1 << 14 } as const;

/** One interrupt message. */
export interface MsiMessage {
  /** Low half of the address: 0xFEEx_xxxx. */
  addressLow: number;
  /** High half of the address. */
  addressHigh: number;
  /** The data: vector and delivery mode. */
  data: number;
}

/** A table with its pending bits. Vectors count from 0. */
export class MsixTable {
  /** Number of vectors, at most 2048. */
  readonly size: number;
  readonly #table: Uint32Array;
  readonly #pending: Int32Array;

  /** Bytes of shared memory that `vectors` vectors take. */
  static bytes(vectors: number): number {
    return vectors * MSIX_ENTRY_SIZE + 4 * Math.ceil(vectors / 32);
  }

  /** A table of `vectors` at byte `offset` of `shared`. */
  constructor(shared: SharedArrayBuffer, offset: number, vectors: number) {
    this.size = vectors;
    this.#table = new Uint32Array(shared, offset, vectors * ENTRY_WORDS);
    const pending = offset + vectors * MSIX_ENTRY_SIZE;
    this.#pending = new Int32Array(shared, pending, Math.ceil(vectors / 32));
  }

  /** After a reset every vector is masked (§6.8.2.9). */
  clear(): void {
    this.#table.fill(0);
    for (let i = 0; i < this.size; i++) {
      this.#table[i * ENTRY_WORDS + CONTROL] = CONTROL_MASK;
    }
    this.#pending.fill(0);
  }

  /** A word of the table; §6.8.2: accesses are of 4 bytes, aligned. */
  read(offset: number, size: number): number {
    if (size !== 4 || (offset & 3) !== 0) return 0;
    return this.#table[offset >> 2] ?? 0;
  }

  /** Sets a word of the table. True when the device worker must look. */
  write(offset: number, size: number, value: number): boolean {
    const word = offset >> 2;
    if (size !== 4 || (offset & 3) !== 0 || word >= this.#table.length) {
      return false;
    }
    const isControl = word % ENTRY_WORDS === CONTROL;
    const next = (isControl ? value & CONTROL_MASK : value) >>> 0;
    const changed = this.#table[word] !== next;
    this.#table[word] = next;
    // A masked vector's message may be written in parts: unmasking shows it.
    return changed && (isControl || !this.masked(Math.floor(word / 4)));
  }

  /** A word of the pending bits. */
  readPending(offset: number, size: number): number {
    if (size !== 4 || (offset & 3) !== 0) return 0;
    return (this.#pending[offset >> 2] ?? 0) >>> 0;
  }

  /** Whether `vector` is masked on its own. */
  masked(vector: number): boolean {
    const control = this.#table[vector * ENTRY_WORDS + CONTROL]!;
    return (control & CONTROL_MASK) !== 0;
  }

  /** The message of `vector`, into `message`. */
  message(vector: number, message: MsiMessage): void {
    const at = vector * ENTRY_WORDS;
    message.addressLow = this.#table[at]!;
    message.addressHigh = this.#table[at + 1]!;
    message.data = this.#table[at + 2]!;
  }

  /** Sets the pending bit of `vector`. */
  setPending(vector: number): void {
    Atomics.or(this.#pending, vector >> 5, 1 << (vector & 31));
  }

  /** Clears the pending bit of `vector`; true when it was set. */
  takePending(vector: number): boolean {
    const bit = 1 << (vector & 31);
    return (Atomics.and(this.#pending, vector >> 5, ~bit) & bit) !== 0;
  }
}
