/**
 * For tests: a file system whose locks fail.
 *
 * @module
 */
import { type Libc, libc } from "../libc.ts";

const calls = libc as { -readonly [name in "flock"]: Libc[name] };

/** Until it is disposed of, this thread's flock(2) fails with `errno`. */
export function failingLocks(errno: number): Disposable {
  const real = libc.flock;
  const location = libc.__errno_location()!;
  const word = new Int32Array(
    Deno.UnsafePointerView.getArrayBuffer(location, 4),
  );
  calls.flock = () => {
    word[0] = errno;
    return -1;
  };
  return { [Symbol.dispose]: () => void (calls.flock = real) };
}
