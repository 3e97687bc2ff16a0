/**
 * What a device answers a driver with, as bytes that can be others: the value of
 * a register, an element of a used ring, the contents of a buffer.
 *
 * @module
 */

/** What was answered. */
export interface Answer {
  /**
   * `register`: a read. `used`: `id` and `len` of a used ring's element, 4 bytes
   * each. `data`: what the device has written to a chain's buffers.
   */
  kind: "register" | "used" | "data";
  /** The register's offset, or the queue's number. */
  at: number;
  /** How many bytes it has. */
  size: number;
}

/** Other bytes in the place of an answer's. */
export interface Change {
  /** Which answer of the try: 0 is the one that it begins with. */
  answer: number;
  /** From which of its bytes on; what is behind its end is left out. */
  offset: number;
  /** Numbers from 0 to 255. */
  bytes: number[];
}

/** More answers of a try are not kept. */
const KEPT = 16_384;

/** The answers of one try after the other, with the changes of each. */
export class Answers {
  /** What was answered in this try, the first of them. */
  given: Answer[] = [];
  #count = 0;
  #changes: readonly Change[] = [];
  #next = 0; // the first change that is still to come
  readonly #register = new Uint8Array(4);
  readonly #view = new DataView(this.#register.buffer);

  /** A try begins. */
  begin(changes: readonly Change[]): void {
    this.given = [];
    this.#count = 0;
    this.#changes = changes.toSorted((a, b) => a.answer - b.answer);
    this.#next = 0;
  }

  /** The value of a register, as the driver is to see it. */
  register(at: number, size: number, value: number): number {
    if (!this.#isChanged("register", at, size)) return value;
    this.#view.setUint32(0, value, true);
    this.#change(this.#register.subarray(0, size));
    return this.#view.getUint32(0, true);
  }

  /** The same of bytes that are where the driver will see them. */
  bytes(kind: "used" | "data", at: number, bytes: Uint8Array): void {
    if (this.#isChanged(kind, at, bytes.length)) this.#change(bytes);
  }

  /** An answer is given; the changes that are next are of it. */
  #isChanged(kind: Answer["kind"], at: number, size: number): boolean {
    const index = this.#count++;
    if (index < KEPT) this.given.push({ kind, at, size });
    const changes = this.#changes;
    while (
      this.#next < changes.length && changes[this.#next]!.answer < index
    ) this.#next++;
    return changes[this.#next]?.answer === index;
  }

  #change(bytes: Uint8Array): void {
    const { answer } = this.#changes[this.#next]!;
    while (this.#changes[this.#next]?.answer === answer) {
      const { offset, bytes: others } = this.#changes[this.#next++]!;
      others.forEach((byte, i) => {
        if (offset + i < bytes.length) bytes[offset + i] = byte;
      });
    }
  }
}
