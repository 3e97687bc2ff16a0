/**
 * Errors with an operation, an object and an errno name.
 *
 * @module
 */
import { libc } from "./libc.ts";
import { VireoError } from "./error.ts";

export { VireoError };

/**
 * A failed system call: `open disk "a.raw": EACCES (Permission denied)`.
 */
export class SystemError extends VireoError {
  /** The class's name. */
  override name = "SystemError";
  /** What was tried, such as `open disk`. */
  readonly operation: string;
  /** errno as a positive number. */
  readonly errno: number;
  /** errno's name, such as `EACCES`. */
  readonly code: string;

  /**
   * Puts the message together.
   *
   * @param operation what was tried, with the object: `open disk "a.raw"`
   * @param errno the positive errno value
   * @param advice what the user can do, appended after the reason
   */
  constructor(operation: string, errno: number, advice?: string) {
    const code = errnoName(errno);
    super(
      `${operation}: ${code} (${errnoText(errno)})` +
        (advice ? `; ${advice}` : ""),
    );
    this.operation = operation;
    this.errno = errno;
    this.code = code;
  }
}

/** errno values that Vireo acts on. Linux, x86-64. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EISDIR: 21,
  EINVAL: 22,
  ENOTTY: 25,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EPIPE: 32,
  ENOSYS: 38,
  EBADFD: 77,
  EOPNOTSUPP: 95,
  EADDRINUSE: 98,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ECONNREFUSED: 111,
  EDQUOT: 122,
} as const;

// The location is per thread, and so is an isolate: one view is enough. It is
// read at once after the call, because Deno's own work clobbers it.
const location = new Int32Array(
  Deno.UnsafePointerView.getArrayBuffer(libc.__errno_location()!, 4),
);

/** This thread's errno, valid directly after a failed FFI call. */
export function errno(): number {
  return location[0]!;
}

/** The name of an errno value, such as `ENOENT`. */
export function errnoName(value: number): string {
  return cString(libc.strerrorname_np(value)) ?? `errno ${value}`;
}

/** The description of an errno value, such as `No such file or directory`. */
export function errnoText(value: number): string {
  return cString(libc.strerrordesc_np(value)) ?? "unknown error";
}

/**
 * Returns `result`, or throws a {@linkcode SystemError} with this thread's
 * errno when it is negative. `operation` may be a function, so that a message
 * is only put together on failure.
 */
export function check(
  result: number,
  operation: string | (() => string),
): number {
  if (result >= 0) return result;
  const code = errno();
  throw new SystemError(
    typeof operation === "string" ? operation : operation(),
    code,
  );
}

function cString(pointer: Deno.PointerValue): string | undefined {
  return pointer === null
    ? undefined
    : Deno.UnsafePointerView.getCString(pointer);
}
