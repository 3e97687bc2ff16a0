/**
 * The libc table: every C function that Vireo calls, with its C name, and
 * nothing else. Each is looked up when an isolate first calls it. Only the hot
 * ones get a trampoline, which Deno compiles: all of them would be a third of a
 * machine's start.
 *
 * Conventions that keep the calls fast (measured, see docs/architecture.md):
 * sizes and ioctl requests that fit are `u32`/`i32`; 64-bit parameters take a
 * bigint that was made once; addresses travel as `pointer` or `buffer`.
 *
 * @module
 */

/** Name, parameters and result of each libc function. */
export const LIBC_SYMBOLS = {
  __errno_location: { parameters: [], result: "pointer" },
  strerrorname_np: { parameters: ["i32"], result: "pointer" },
  strerrordesc_np: { parameters: ["i32"], result: "pointer" },

  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  // The same two with the count and result as 32 bits: no bigint, so they
  // may stand on a hot path (count below 2 GiB).
  read_u32: {
    name: "read",
    parameters: ["i32", "buffer", "u32"],
    result: "i32",
  },
  write_u32: {
    name: "write",
    parameters: ["i32", "buffer", "u32"],
    result: "i32",
  },
  // In a thread of Deno's: it may wait for ever, and nobody waits for it.
  write_wait: {
    name: "write",
    parameters: ["i32", "buffer", "u32"],
    result: "i32",
    nonblocking: true,
  },
  readv: { parameters: ["i32", "pointer", "i32"], result: "i32" },
  // glibc's readv may be a thread's last call, which it sets up each time.
  readv_call: {
    name: "syscall",
    parameters: ["u32", "i32", "pointer", "u32"],
    result: "i32",
  },
  writev: { parameters: ["i32", "pointer", "i32"], result: "i32" },
  pread: { parameters: ["i32", "buffer", "u32", "i64"], result: "i32" },
  // The address as an integer: iovecs are at changing places.
  preadv: { parameters: ["i32", "usize", "i32", "i64"], result: "i32" },
  pwritev: { parameters: ["i32", "usize", "i32", "i64"], result: "i32" },
  fallocate: { parameters: ["i32", "i32", "i64", "i64"], result: "i32" },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  fdatasync: { parameters: ["i32"], result: "i32" },
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  flock: { parameters: ["i32", "i32"], result: "i32" },
  renameat2: {
    parameters: ["i32", "buffer", "i32", "buffer", "u32"],
    result: "i32",
  },
  dup3: { parameters: ["i32", "i32", "i32"], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },

  ioctl_pointer: {
    name: "ioctl",
    parameters: ["i32", "u32", "pointer"],
    result: "i32",
  },
  ioctl_buffer: {
    name: "ioctl",
    parameters: ["i32", "u32", "buffer"],
    result: "i32",
  },
  ioctl_value: {
    name: "ioctl",
    parameters: ["i32", "u32", "u64"],
    result: "i32",
  },
  // In a thread of Deno's: some take milliseconds, in which a thread only
  // waits.
  ioctl_wait: {
    name: "ioctl",
    parameters: ["i32", "u32", "buffer"],
    result: "i32",
    nonblocking: true,
  },

  mmap: {
    parameters: ["pointer", "usize", "i32", "i32", "i32", "i64"],
    result: "pointer",
  },
  munmap: { parameters: ["pointer", "usize"], result: "i32" },
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
  madvise: { parameters: ["pointer", "usize", "i32"], result: "i32" },
  // For a part of a mapping; the length below 2 GiB.
  madvise_at: {
    name: "madvise",
    parameters: ["usize", "u32", "i32"],
    result: "i32",
  },
  // In a thread of Deno's: pages may never come.
  madvise_wait: {
    name: "madvise",
    parameters: ["usize", "u32", "i32"],
    result: "i32",
    nonblocking: true,
  },

  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  // With a pointer that was made once: to find a buffer's takes half as long
  // again.
  clock_gettime_at: {
    name: "clock_gettime",
    parameters: ["i32", "pointer"],
    result: "i32",
  },
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  timerfd_create: { parameters: ["i32", "i32"], result: "i32" },
  timerfd_settime: {
    parameters: ["i32", "i32", "buffer", "pointer"],
    result: "i32",
  },
  poll: {
    parameters: ["buffer", "u32", "i32"],
    result: "i32",
    nonblocking: true,
  },
  epoll_create1: { parameters: ["i32"], result: "i32" },
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  epoll_wait: { parameters: ["i32", "pointer", "i32", "i32"], result: "i32" },

  io_uring_setup: {
    name: "syscall",
    parameters: ["u32", "u32", "buffer"],
    result: "i32",
  },
  io_uring_enter: {
    name: "syscall",
    parameters: ["u32", "i32", "u32", "u32", "u32", "pointer", "usize"],
    result: "i32",
  },
  io_uring_register: {
    name: "syscall",
    parameters: ["u32", "i32", "u32", "buffer", "u32"],
    result: "i32",
  },

  userfaultfd: {
    name: "syscall",
    parameters: ["u32", "i32"],
    result: "i32",
  },

  // The address as an integer: it lies in guest memory, and changes.
  getrandom: { parameters: ["usize", "u32", "u32"], result: "i32" },

  // Through syscall: until glibc 2.34 these are in librt, and their timer
  // numbers are pointers.
  timer_create: {
    name: "syscall",
    parameters: ["u32", "i32", "buffer", "buffer"],
    result: "i32",
  },
  timer_settime: {
    name: "syscall",
    parameters: ["u32", "i32", "i32", "buffer", "pointer"],
    result: "i32",
  },
  timer_delete: {
    name: "syscall",
    parameters: ["u32", "i32"],
    result: "i32",
  },

  getrusage: { parameters: ["i32", "buffer"], result: "i32" },
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  gettid: { parameters: [], result: "i32" },
  getpid: { parameters: [], result: "i32" },
  tgkill: { parameters: ["i32", "i32", "i32"], result: "i32" },
  getpgrp: { parameters: [], result: "i32" },
  sigaction: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  pthread_sigmask: {
    parameters: ["i32", "buffer", "pointer"],
    result: "i32",
  },
  sigtimedwait: {
    parameters: ["buffer", "pointer", "buffer"],
    result: "i32",
  },

  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  accept4: {
    parameters: ["i32", "pointer", "pointer", "i32"],
    result: "i32",
  },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  sendmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  recvmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  getsockopt: {
    parameters: ["i32", "i32", "i32", "buffer", "buffer"],
    result: "i32",
  },
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  setns: { parameters: ["i32", "i32"], result: "i32" },
  unshare: { parameters: ["i32"], result: "i32" },
  mount: {
    parameters: ["buffer", "buffer", "buffer", "u32", "buffer"],
    result: "i32",
  },
  umount2: { parameters: ["buffer", "i32"], result: "i32" },
  pivot_root: {
    name: "syscall",
    parameters: ["u32", "buffer", "buffer"],
    result: "i32",
  },
  chdir: { parameters: ["buffer"], result: "i32" },
  mknod: { parameters: ["buffer", "u32", "u32"], result: "i32" },
  // Of this thread alone, as the kernel has it: the C library's would make all
  // threads follow.
  setgroups_thread: {
    name: "syscall",
    parameters: ["u32", "u32", "pointer"],
    result: "i32",
  },
  setid_thread: {
    name: "syscall",
    parameters: ["u32", "u32"],
    result: "i32",
  },
  setsid: { parameters: [], result: "i32" },
  setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  prctl: {
    parameters: ["i32", "u32", "u32", "u32", "u32"],
    result: "i32",
  },
  pipe2: { parameters: ["buffer", "i32"], result: "i32" },
  close_range: {
    name: "syscall",
    parameters: ["u32", "u32", "u32", "u32"],
    result: "i32",
  },
  execve: { parameters: ["buffer", "buffer", "buffer"], result: "i32" },
  posix_spawn: {
    parameters: ["buffer", "buffer", "pointer", "pointer", "buffer", "buffer"],
    result: "i32",
  },
  waitpid: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  isatty: { parameters: ["i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** The type of {@linkcode libc}. */
export type Libc = Deno.StaticForeignLibraryInterface<typeof LIBC_SYMBOLS>;

/**
 * What is called for each exit, request or frame. Deno compiles a trampoline for
 * it, which takes 0.3 ms of CPU in each isolate and saves 0.3 us a call.
 */
const HOT: ReadonlySet<keyof Libc> = new Set([
  ...["read_u32", "write_u32", "readv", "readv_call", "writev"] as const,
  ...["preadv", "pwritev", "io_uring_enter", "recv", "getrandom"] as const,
  ...["ioctl_pointer", "epoll_wait", "madvise_at"] as const,
  ...["clock_gettime_at", "timerfd_settime"] as const,
]);

/** A struct among the parameters, and Deno compiles nothing. No callee sees it. */
const UNSEEN = { struct: ["u8"] } as const;
const unseen = new Uint8Array(1);

/** glibc. It needs `--allow-ffi`. */
export const libc: Libc = openLibc();

function openLibc(): Libc {
  const all = {} as Libc;
  for (const name of Object.keys(LIBC_SYMBOLS) as (keyof Libc)[]) {
    // A value like any other from the first use on.
    Object.defineProperty(all, name, {
      configurable: true,
      enumerable: true,
      get: () => (lookUpNow(name), all[name]),
      set: (value) => become(all, name, value), // for tests
    });
  }
  return all;
}

/** In one go, which is quicker: for who has time now. */
export function lookUpNow(...names: (keyof Libc)[]): void {
  const wanted = names.filter((name) =>
    Object.getOwnPropertyDescriptor(libc, name)?.get !== undefined
  );
  try {
    const table = wanted.map((name) => [name, definition(name)]);
    const { symbols } = Deno.dlopen("libc.so.6", Object.fromEntries(table));
    for (const name of wanted) {
      const call = symbols[name] as (...values: unknown[]) => unknown;
      const rarely = (...values: unknown[]) => call(...values, unseen);
      become(libc, name, HOT.has(name) ? call : rarely);
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    throw new Error(
      "Vireo needs glibc 2.32 or later (libc.so.6) on x86-64 Linux: " +
        (error instanceof Error ? error.message : String(error)),
    );
  }
}

function definition(name: keyof Libc): Deno.ForeignFunction {
  const symbol: Deno.ForeignFunction = LIBC_SYMBOLS[name];
  if (HOT.has(name)) return symbol;
  return { ...symbol, parameters: [...symbol.parameters, UNSEEN] };
}

function become(all: Libc, name: keyof Libc, value: unknown): void {
  Object.defineProperty(all, name, { value, writable: true });
}
