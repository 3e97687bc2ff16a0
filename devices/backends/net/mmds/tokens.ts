/**
 * Session tokens of the metadata service: when they end, and proof that they
 * are ours. Nothing is kept of them.
 *
 * @module
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";

/** Seconds that a token may last. */
export const TTL_MIN = 1, TTL_MAX = 21_600;

const TIME = 8;
const PROOF = 32;

/** Makes and checks tokens. */
export class Tokens {
  readonly #key = randomBytes(PROOF);
  readonly #now: () => number;

  /** @param now milliseconds, for tests */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** A token for so many seconds. */
  make(seconds: number): string {
    const bytes = new Uint8Array(TIME + PROOF);
    const view = new DataView(bytes.buffer);
    view.setFloat64(0, this.#now() + seconds * 1000);
    bytes.set(this.#proof(bytes.subarray(0, TIME)), TIME);
    return bytes.toBase64();
  }

  /** Whether it is one of these, and its time isn't over. */
  isValid(token: string): boolean {
    let bytes: Uint8Array;
    try {
      bytes = Uint8Array.fromBase64(token);
    } catch {
      return false;
    }
    if (bytes.length !== TIME + PROOF) return false;
    const time = bytes.subarray(0, TIME);
    if (!timingSafeEqual(this.#proof(time), bytes.subarray(TIME))) return false;
    return new DataView(bytes.buffer).getFloat64(0) > this.#now();
  }

  #proof(time: Uint8Array): Uint8Array {
    return createHmac("sha256", this.#key).update(time).digest();
  }
}
