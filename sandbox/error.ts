/**
 * What the jailer tells when it can't do what it was asked.
 *
 * @module
 */
import { VireoError } from "../ffi/error.ts";
import { errno } from "../ffi/errno.ts";
import { objection, osError } from "../api/os_error.ts";

/** Its message is a line for standard error, in Firecracker's words. */
export class JailError extends VireoError {
  /** The class's name. */
  override name = "JailError";
}

/**
 * The result of a system call that was just made.
 *
 * @param what what it was for, as text or made when it has failed
 * @throws {JailError} it has failed
 */
export function made(result: number, what: string): number {
  if (result >= 0) return result;
  throw new JailError(`${what}: ${osError(errno())}`);
}

/**
 * Does what may fail by an exception of Deno's.
 *
 * @param what what it was for
 * @throws {JailError} it has failed
 */
export function tried<T>(what: string, fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    throw new JailError(`${what}: ${objection(error)}`);
  }
}
