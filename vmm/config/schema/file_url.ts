/**
 * URLs of files.
 *
 * @module
 */
import type * as NodeUrl from "node:url";

/** The URL of a path, which begins at the working directory. */
export function fileUrl(path: string): URL {
  // Loading node:url takes milliseconds, and few machines have a module.
  const { process } = globalThis as unknown as {
    process: { getBuiltinModule(name: string): typeof NodeUrl };
  };
  return process.getBuiltinModule("node:url").pathToFileURL(path);
}
