/**
 * Promises that modules on this thread have not kept yet. A thread has the
 * devices of one machine, so there is one list.
 *
 * @module
 */

/** Each with who has made it. */
const outstanding = new Map<Promise<unknown>, string>();

/**
 * Waits for `promise` of `who`, and says how it ended.
 *
 * @param failed gets what it was rejected with
 */
export function whenKept<T>(
  who: string,
  promise: Promise<T>,
  kept: (value: T) => void,
  failed: (error: unknown) => void,
): void {
  outstanding.set(promise, who);
  promise.finally(() => outstanding.delete(promise)).then(kept).catch(failed);
}

/**
 * What a method that fills `bytes` has returned.
 *
 * @throws {TypeError} bytes of its own, which nobody looks at
 */
export function checkFilled(
  what: string,
  returned: unknown,
  bytes: Uint8Array,
) {
  if (returned instanceof Uint8Array && returned.buffer !== bytes.buffer) {
    throw new TypeError(`${what} returned bytes; it fills what it is given`);
  }
}

/** Who has promises that are not kept, each once. */
export function whoPromised(): string[] {
  return [...new Set(outstanding.values())];
}
