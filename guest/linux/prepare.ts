/**
 * The guest kernel and root image.
 *
 * @module
 */
import { VireoError } from "../../ffi/errno.ts";

/** What a machine without a kernel of its own boots. */
export interface Prepared {
  /** Path of the kernel, an ELF64 vmlinux. */
  kernel: string;
  /** Path of the root image, ext4. */
  rootfs: string;
}

/** What has been prepared before; undefined when there is nothing. */
export function prepared(): Promise<Prepared | undefined> {
  return Promise.resolve(undefined);
}

/**
 * Builds the kernel and the root image.
 *
 * @throws {VireoError} always, for now: name a kernel instead
 */
export function prepare(): Promise<Prepared> {
  throw new VireoError("prepare: no recipe yet; name a kernel: vireo boot F");
}
