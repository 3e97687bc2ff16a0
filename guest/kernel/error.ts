/**
 * The error for what the user asks to boot.
 *
 * @module
 */
import { VireoError } from "../../ffi/errno.ts";

/**
 * A kernel, initrd or command line that can't be booted. The message is one
 * line: `kernel "vmlinux": is truncated: segment 2 ends at byte ...`.
 */
export class KernelError extends VireoError {
  /** The class's name. */
  override name = "KernelError";

  /**
   * Joins the two to one line.
   *
   * @param object what is at fault: `kernel "vmlinux"`
   * @param reason what is wrong with it, and what to do
   */
  constructor(object: string, reason: string) {
    super(`${object}: ${reason}`);
  }
}
