/**
 * epoll(7), level-triggered, with a 32-bit token per descriptor.
 *
 * @module
 */
import { check, Errno, errno, SystemError } from "./errno.ts";
import { closeFd } from "./file.ts";
import { Mapping } from "./memory/mmap.ts";
import { libc } from "./libc.ts";

/** `EPOLL*` event bits. */
export const Events = {
  IN: 0x1,
  OUT: 0x4,
  ERR: 0x8,
  HUP: 0x10,
  /** Report a change once, instead of a state for as long as it lasts. */
  ET: 0x8000_0000,
} as const;

const EPOLL_CLOEXEC = 0o2000000;
const CTL_ADD = 1;
const CTL_DEL = 2;
const CTL_MOD = 3;

// struct epoll_event is packed on x86-64: u32 events, u64 data.
const EVENT_SIZE = 12;
const MAX_EVENTS = 64;
const FATAL: readonly number[] = [Errno.EBADF, Errno.EFAULT, Errno.EINVAL];

/** One epoll instance. */
export class Epoll {
  readonly #fd: number;
  readonly #events: Mapping;
  readonly #words: Uint32Array;
  readonly #event = new Uint8Array(EVENT_SIZE);
  readonly #eventView = new DataView(this.#event.buffer);

  /** Makes an empty set. */
  constructor() {
    using events = new DisposableStack(); // unless all goes well
    this.#events = events.use(new Mapping(4096, { name: "epoll events" }));
    this.#fd = check(libc.epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    events.move();
    this.#words = new Uint32Array(this.#events.buffer);
  }

  /** Readable when there are events. */
  get fd(): number {
    return this.#fd;
  }

  /** Watches `fd`; {@linkcode Epoll.token} gives `token` back. */
  add(fd: number, token: number, events: number = Events.IN): void {
    this.#control(CTL_ADD, fd, token, events);
  }

  /** Changes what `fd` is watched for; 0 leaves errors and hang-ups. */
  modify(fd: number, token: number, events: number): void {
    this.#control(CTL_MOD, fd, token, events);
  }

  /** Stops watching `fd`. */
  remove(fd: number): void {
    this.#control(CTL_DEL, fd, 0, 0);
  }

  /**
   * Waits for events and returns their number, at most 64; 0 after
   * `timeout` milliseconds (-1 for ever) or a signal.
   */
  wait(timeout: number): number {
    const count = libc.epoll_wait(
      this.#fd,
      this.#events.pointer,
      MAX_EVENTS,
      timeout,
    );
    if (count >= 0) return count;
    const code = errno();
    // Only what a mistake of ours would give: anything else, EINTR above all,
    // is worth another look. It comes with each kick and each completion.
    if (FATAL.includes(code)) throw new SystemError("epoll_wait", code);
    return 0;
  }

  /** The token of event `index` of the last {@linkcode Epoll.wait}. */
  token(index: number): number {
    return this.#words[index * 3 + 1]!;
  }

  /** The event bits of event `index`. */
  events(index: number): number {
    return this.#words[index * 3]!;
  }

  /** Closes the instance; the watched descriptors stay open. */
  close(): void {
    closeFd(this.#fd);
    this.#events.unmap();
  }

  #control(
    operation: number,
    fd: number,
    token: number,
    events: number,
  ): void {
    this.#eventView.setUint32(0, events, true);
    this.#eventView.setUint32(4, token, true);
    check(
      libc.epoll_ctl(this.#fd, operation, fd, this.#event),
      () => `epoll_ctl of descriptor ${fd}`,
    );
  }
}
