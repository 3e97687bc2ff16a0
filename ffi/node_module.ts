/**
 * Node's modules, as Deno has them, loaded when they are first needed: the first
 * one takes 10 ms, `node:crypto` and `node:zlib` as much again, and what a
 * machine starts with needs none.
 *
 * @module
 */

/** The module of this name. */
export function nodeModule<T>(name: `node:${string}`): T {
  const { process } = globalThis as unknown as {
    process: { getBuiltinModule(name: string): T };
  };
  return process.getBuiltinModule(name);
}
