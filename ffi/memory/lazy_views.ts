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
