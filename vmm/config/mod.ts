/**
 * A machine's configuration, and what it comes to: every default filled in.
 *
 * @module
 */
export { descriptors } from "./descriptors.ts";
export { resolve, type ResolvedConfig } from "./resolve.ts";
export type { VmConfig } from "./types.ts";
