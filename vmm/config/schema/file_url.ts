/**
 * URLs of files.
 *
 * @module
 */
import type * as NodeUrl from "node:url";
import { nodeModule } from "../../../ffi/node_module.ts";

/** The URL of a path, which begins at the working directory. */
export function fileUrl(path: string): URL {
  return nodeModule<typeof NodeUrl>("node:url").pathToFileURL(path);
}
