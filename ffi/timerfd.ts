/**
 * timerfd_create(2): a clock that epoll can wait for.
 *
 * @module
 */
import { check } from "./errno.ts";
import { closeFd } from "./file.ts";
import { libc } from "./libc.ts";

const CLOCK_MONOTONIC = 1;
const TFD_NONBLOCK = 0o4000;
const TFD_CLOEXEC = 0o2000000;

// struct itimerspec as 32-bit words: it_interval, it_value; each a timespec of
// 64-bit seconds and nanoseconds.
const INTERVAL = 0;
const VALUE = 4;
const SECONDS = 0;
const NANOSECONDS = 2;

const expirations = new Uint8Array(8);

/** A timer on the monotonic clock. Arming allocates nothing. */
export class TimerFd {
  /** Readable once the timer has expired, until {@linkcode TimerFd.drain}. */
  readonly fd: number = check(
    libc.timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
    "timerfd_create",
  );
  readonly #words = new Uint32Array(8);
  readonly #spec = new Uint8Array(this.#words.buffer);

  /**
   * Expires after `delay` milliseconds, at least a nanosecond, and then, if
   * `interval` isn't 0, every `interval` milliseconds.
   */
  arm(delay: number, interval = 0): void {
    this.#set(VALUE, Math.max(delay, 1e-6));
    this.#set(INTERVAL, interval);
    this.#commit();
  }

  /** Does not expire until it is armed again. */
  disarm(): void {
    this.#words.fill(0);
    this.#commit();
  }

  /** Takes note of expirations; true when there were some. */
  drain(): boolean {
    return libc.read_u32(this.fd, expirations, 8) === 8;
  }

  /** Closes the descriptor. */
  close(): void {
    closeFd(this.fd);
  }

  /** `using` support. */
  [Symbol.dispose](): void {
    this.close();
  }

  #set(at: number, milliseconds: number): void {
    const seconds = Math.floor(milliseconds / 1000);
    this.#words[at + SECONDS] = seconds;
    this.#words[at + NANOSECONDS] = (milliseconds - seconds * 1000) * 1e6;
  }

  #commit(): void {
    check(
      libc.timerfd_settime(this.fd, 0, this.#spec, null),
      "timerfd_settime",
    );
  }
}
