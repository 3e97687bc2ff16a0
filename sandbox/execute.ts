/**
 * Programs in the place of this process, and beside it.
 *
 * @module
 */
import { closeFd, cString, Open } from "../ffi/file.ts";
import { osError } from "../api/os_error.ts";
import { libc } from "../ffi/libc.ts";
import { JailError, made } from "./error.ts";

/** What the messages begin with when no process can be begun. */
export const NO_CHILD = "Failed cloning into a new child process";

const CLONE_NEWPID = 0x20000000;

/** A NULL-ended array of C strings, and the strings behind it. */
function strings(texts: readonly string[]): Uint8Array<ArrayBuffer> {
  const all = texts.map(cString);
  const table = (all.length + 1) * 8;
  const size = all.reduce((sum, { length }) => sum + length, table);
  // From an ArrayBuffer: nothing moves it.
  const bytes = new Uint8Array(new ArrayBuffer(size));
  const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
  const pointers = new BigUint64Array(bytes.buffer, 0, all.length + 1);
  let at = table;
  for (const [index, text] of all.entries()) {
    bytes.set(text, at);
    pointers[index] = address + BigInt(at);
    at += text.length;
  }
  return bytes;
}

function variables(env: Record<string, string>): Uint8Array<ArrayBuffer> {
  const texts = Object.entries(env).map(([name, text]) => `${name}=${text}`);
  return strings(texts);
}

/**
 * Puts a program in the place of this process. It has the rights and namespaces
 * of this thread, which has to be the first one; the others end.
 *
 * @throws {JailError} it can't be run
 */
export function become(
  path: string,
  words: readonly string[],
  env: Record<string, string>,
): never {
  const args = strings(words);
  made(
    libc.execve(cString(path), args, variables(env)),
    "Failed to exec into Firecracker",
  );
  throw new Error("it has returned");
}

/**
 * Starts a program with this process' descriptors and environment.
 *
 * @returns its process id
 * @throws {JailError} it can't be run
 */
export function start(path: string, words: readonly string[]): number {
  const pid = new Int32Array(1);
  const failed = libc.posix_spawn(
    new Uint8Array(pid.buffer),
    cString(path),
    null,
    null,
    strings(words),
    variables(Deno.env.toObject()),
  );
  if (failed === 0) return pid[0]!;
  throw new JailError(`${NO_CHILD}: ${osError(failed)}`);
}

/**
 * The same, and it is the first process of a PID namespace. A thread whose
 * children are to be in another namespace than itself can't begin a thread
 * (clone(2), EINVAL), and Deno wants one at any time: this one goes back at once.
 */
export function startFirst(path: string, words: readonly string[]): number {
  const namespace = cString("/proc/self/ns/pid");
  const bits = Open.RDONLY | Open.CLOEXEC;
  const own = made(libc.open(namespace, bits, 0), NO_CHILD);
  try {
    made(libc.unshare(CLONE_NEWPID), NO_CHILD);
    const pid = start(path, words);
    made(libc.setns(own, CLONE_NEWPID), NO_CHILD);
    return pid;
  } finally {
    closeFd(own);
  }
}
