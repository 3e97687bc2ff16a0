/**
 * Views of memory that are made when one is first wanted.
 *
 * V8 counts a view as if it had to free its memory, and collects garbage after
 * so many: who never looks at the memory doesn't pay for that.
 *
 * @module
 */

/** Makes a property what `make` returns when it is first asked for. */
export function lazily<T extends object, K extends keyof T>(
  target: T,
  name: K,
  make: () => T[K],
): void {
  let made: T[K] | undefined;
  Object.defineProperty(target, name, { get: () => made ??= make() });
}

/** Views of memory. */
interface Viewed {
  readonly u8: Uint8Array<ArrayBuffer>;
  readonly u16: Uint16Array<ArrayBuffer>;
  readonly u32: Uint32Array<ArrayBuffer>;
}

/** Makes these, when they are asked for, views of what `mapping` has mapped. */
export function viewedLater<T extends Viewed>(
  region: T,
  mapping: { readonly buffer: ArrayBuffer },
): T {
  const viewed: Viewed = region;
  lazily(viewed, "u8", () => new Uint8Array(mapping.buffer));
  lazily(viewed, "u16", () => new Uint16Array(mapping.buffer));
  lazily(viewed, "u32", () => new Uint32Array(mapping.buffer));
  return region;
}
