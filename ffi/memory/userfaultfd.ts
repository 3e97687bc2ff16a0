/**
 * userfaultfd(2): page faults of this process that somebody else answers, a
 * thread of its own or another process.
 *
 * @module
 */
import { Errno, errno, SystemError } from "../errno.ts";
import { closeFd, cString, Open } from "../file.ts";
import { _IO, _IOR, _IOWR, ioctlBuffer, ioctlValue } from "../ioctl.ts";
import { libc } from "../libc.ts";

const SYS_USERFAULTFD = 323; // x86-64
const O_NONBLOCK = 0o4000, O_CLOEXEC = 0o2000000;

// linux/userfaultfd.h
const UFFDIO = 0xaa;
const UFFD_API = 0xaan;
const FEATURE_EVENT_REMOVE = 1n << 3n;
const REGISTER_MODE_MISSING = 1n;
const DEVICE = "/dev/userfaultfd";
const NEW = _IO(UFFDIO, 0x00);
const API = _IOWR(UFFDIO, 0x3f, 24);
const REGISTER = _IOWR(UFFDIO, 0x00, 32);
const UNREGISTER = _IOR(UFFDIO, 0x01, 16);
const COPY = _IOWR(UFFDIO, 0x03, 40);
const ZEROPAGE = _IOWR(UFFDIO, 0x04, 32);
/** `UFFD_EVENT_*`. */
const EVENT_PAGEFAULT = 0x12, EVENT_REMOVE = 0x15;
/** Bytes of `struct uffd_msg`. */
const MESSAGE_SIZE = 32;
/** Messages that are read at once. */
const MESSAGES = 16;

/** What has happened to registered memory. */
export type MemoryEvent =
  /** A thread waits for the page at `address`. */
  | { type: "fault"; address: number }
  /** What was there is gone; it is zeros from now on. */
  | { type: "remove"; from: number; to: number };

/**
 * Makes a descriptor that doesn't block, and tells of memory that is given back.
 *
 * @throws {SystemError} the kernel has none, or not for this user
 */
export function createUserFaultFd(): number {
  const fd = open(O_NONBLOCK | O_CLOEXEC);
  try {
    const api = BigUint64Array.of(UFFD_API, FEATURE_EVENT_REMOVE, 0n);
    ioctlBuffer(fd, API, api, "UFFDIO_API");
    return fd;
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}

/** By the system call, or by the device, which has rights as files have. */
function open(flags: number): number {
  const fd = libc.userfaultfd(SYS_USERFAULTFD, flags);
  if (fd >= 0) return fd;
  const code = errno();
  const device = libc.open(cString(DEVICE), Open.RDWR | Open.CLOEXEC, 0);
  if (device < 0) {
    const advice = `it takes root, or rights to ${DEVICE}, or ` +
      "sysctl vm.unprivileged_userfaultfd=1";
    throw new SystemError("userfaultfd", code, advice);
  }
  try {
    return ioctlValue(device, NEW, flags, `new userfaultfd of ${DEVICE}`);
  } finally {
    closeFd(device);
  }
}

/** From now on, missing pages there are answered for; whole pages. */
export function registerMissing(
  fd: number,
  address: number,
  size: number,
): void {
  const range = BigUint64Array.of(
    ...[BigInt(address), BigInt(size), REGISTER_MODE_MISSING, 0n],
  );
  ioctlBuffer(fd, REGISTER, range, "UFFDIO_REGISTER");
}

/** Missing pages are zeros again, also for those who wait for one. */
export function unregister(fd: number, address: number, size: number): void {
  const range = BigUint64Array.of(BigInt(address), BigInt(size));
  libc.ioctl_buffer(fd, UNREGISTER, range);
}

/** Answers faults, in the process that has them or in another one. */
export class FaultAnswerer {
  readonly #fd: number;
  readonly #messages = new Uint8Array(MESSAGE_SIZE * MESSAGES);
  readonly #view = new DataView(this.#messages.buffer);
  readonly #range = new BigInt64Array(5);

  /** Answers those of `fd`, which stays its owner's. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * What has happened since the last look; empty: nothing.
   *
   * @throws {SystemError} the descriptor is none, or its process has ended
   */
  events(): MemoryEvent[] {
    const { length } = this.#messages;
    const bytes = libc.read_u32(this.#fd, this.#messages, length);
    if (bytes < 0) {
      const code = errno();
      if (code === Errno.EAGAIN || code === Errno.EINTR) return [];
      throw new SystemError("read userfaultfd", code);
    }
    const found: MemoryEvent[] = [];
    for (let at = 0; at + MESSAGE_SIZE <= bytes; at += MESSAGE_SIZE) {
      const number = (offset: number) =>
        Number(this.#view.getBigUint64(at + offset, true));
      switch (this.#messages[at]) {
        case EVENT_PAGEFAULT:
          found.push({ type: "fault", address: number(16) });
          break;
        case EVENT_REMOVE:
          found.push({ type: "remove", from: number(8), to: number(16) });
      }
    }
    return found;
  }

  /**
   * Puts pages there, and lets those go on who wait for them.
   *
   * @param address of the first page
   * @param bytes whole pages
   * @returns false: later, something else is under way
   * @throws {SystemError} there is no such memory any more
   */
  copy(address: number, bytes: Uint8Array<ArrayBuffer>): boolean {
    const source = Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
    this.#range.set([
      ...[BigInt(address), BigInt(source), BigInt(bytes.length), 0n, 0n],
    ]);
    return this.#answer(COPY, "UFFDIO_COPY");
  }

  /** The same with zeros. */
  zero(address: number, size: number): boolean {
    this.#range.set([BigInt(address), BigInt(size), 0n, 0n, 0n]);
    return this.#answer(ZEROPAGE, "UFFDIO_ZEROPAGE");
  }

  #answer(request: number, operation: string): boolean {
    if (libc.ioctl_buffer(this.#fd, request, this.#range) === 0) return true;
    const code = errno();
    if (code === Errno.EEXIST) return true; // two threads have wanted it
    if (code === Errno.EAGAIN) return false;
    throw new SystemError(operation, code);
  }
}
