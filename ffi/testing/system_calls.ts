/**
 * For tests: lets system calls of this thread fail, one at a time, and keeps
 * account of what it has mapped. The calls themselves know nothing of it.
 *
 * @module
 */
import { Errno } from "../errno.ts";
import { libc, LIBC_SYMBOLS } from "../libc.ts";

type Name = keyof typeof LIBC_SYMBOLS;
type Call = (...args: never[]) => unknown;

const EMFILE = 24;

/** What each call fails with. What only gives back has no business here. */
const FAILURES: Partial<Record<Name, number>> = {
  open: EMFILE,
  lseek: Errno.EIO,
  preadv: Errno.EIO,
  write_u32: Errno.ENOSPC,
  fallocate: Errno.ENOSPC,
  ftruncate: Errno.EIO,
  memfd_create: EMFILE,
  flock: Errno.EAGAIN,
  ioctl_pointer: Errno.ENOMEM,
  ioctl_buffer: Errno.ENOMEM,
  ioctl_value: Errno.ENOMEM,
  mmap: Errno.ENOMEM,
  madvise: Errno.ENOMEM,
  eventfd: EMFILE,
  timerfd_create: EMFILE,
  timerfd_settime: Errno.EINVAL,
  epoll_create1: EMFILE,
  epoll_ctl: Errno.ENOSPC,
  io_uring_setup: Errno.ENOMEM,
  io_uring_register: Errno.ENOMEM,
  io_uring_enter: Errno.EINVAL,
  pthread_sigmask: Errno.EINVAL,
  socket: EMFILE,
  bind: Errno.EACCES,
  listen: Errno.EACCES,
  connect: Errno.ECONNREFUSED,
  setns: Errno.EPERM,
};

const MAP_FAILED = Deno.UnsafePointer.create(0xffff_ffff_ffff_ffffn);

/** The calls of this thread, from the making of this object to its end. */
export class SystemCalls implements Disposable {
  readonly #real: [Name, Call][] = [];
  readonly #errno = new Int32Array(
    Deno.UnsafePointerView.getArrayBuffer(libc.__errno_location()!, 4),
  );
  readonly #ranges: [start: number, end: number][] = [];
  #count = 0;
  #failing = Infinity;
  #away = false; // in another network namespace

  /** The call that was made to fail, if it has come to that. */
  failed: string | undefined;

  /** From now on, calls are counted and mappings kept account of. */
  constructor() {
    for (const name of Object.keys(FAILURES) as Name[]) this.#wrap(name);
    this.#wrap("munmap");
  }

  /** Lets the `n`-th call from now on fail, counted from 0. */
  failAt(n: number): void {
    this.#count = 0;
    this.#failing = n;
    this.failed = undefined;
  }

  /** Until this is disposed of, calls are neither counted nor fail. */
  suspended(): Disposable {
    const failing = this.#failing - this.#count;
    this.#failing = -1;
    return {
      [Symbol.dispose]: () => {
        if (this.#failing < 0) this.failAt(failing);
      },
    };
  }

  /** Addresses that were mapped and not given back, as text. */
  get mapped(): string[] {
    return this.#ranges.map(([start, end]) =>
      `${start.toString(16)}: ${end - start} bytes`
    );
  }

  /** The calls are as they were. */
  [Symbol.dispose](): void {
    for (const [name, call] of this.#real) replace(name, call);
  }

  #wrap(name: Name): void {
    const real = libc[name] as Call;
    this.#real.push([name, real]);
    const failure = FAILURES[name];
    replace(name, (...args: never[]) => {
      const counts = failure !== undefined && !this.#givesBack(name, args);
      if (counts && this.#count++ === this.#failing) {
        this.failed = name;
        this.#errno[0] = failure;
        return name === "mmap" ? MAP_FAILED : -1;
      }
      const result = real(...args);
      const code = this.#errno[0]!;
      if (name === "mmap") this.#map(result, Number(args[1]));
      if (name === "setns") this.#away = !this.#away;
      if (name === "munmap") this.#unmap(args[0], Number(args[1]));
      this.#errno[0] = code;
      return result;
    });
  }

  #givesBack(name: Name, args: readonly unknown[]): boolean {
    const EPOLL_CTL_DEL = 2;
    return name === "epoll_ctl" && args[1] === EPOLL_CTL_DEL ||
      name === "setns" && this.#away;
  }

  #map(pointer: unknown, size: number): void {
    const start = address(pointer);
    if (start < 0) return;
    this.#forget(start, start + size); // MAP_FIXED
    this.#ranges.push([start, start + size]);
  }

  #unmap(pointer: unknown, size: number): void {
    this.#forget(address(pointer), address(pointer) + size);
  }

  #forget(from: number, to: number): void {
    for (const [start, end] of this.#ranges.splice(0)) {
      if (start < from) this.#ranges.push([start, Math.min(end, from)]);
      if (end > to) this.#ranges.push([Math.max(start, to), end]);
    }
  }
}

function replace(name: Name, call: Call): void {
  (libc as Record<Name, unknown>)[name] = call;
}

/** As a number, or -1 for `MAP_FAILED`. */
function address(pointer: unknown): number {
  const value = Deno.UnsafePointer.value(pointer as Deno.PointerValue);
  return Number(BigInt.asIntN(64, BigInt(value)));
}
