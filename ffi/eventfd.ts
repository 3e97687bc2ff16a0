/**
 * eventfd(2): a counter that threads, KVM (ioeventfd, irqfd) and io_uring can
 * signal and epoll can wait for.
 *
 * @module
 */
import { check } from "./errno.ts";
import { closeFd } from "./file.ts";
import { libc } from "./libc.ts";

const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;

const one = new Uint8Array(new BigUint64Array([1n]).buffer);
const counter = new Uint8Array(8);

/** Makes a non-blocking eventfd with the value 0. */
export function createEventFd(): number {
  return check(libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd");
}

/** Adds one to the counter. Never blocks; allocates nothing. */
export function signalEventFd(fd: number): void {
  libc.write_u32(fd, one, 8);
}

/** Sets the counter to zero; true when it was not zero. */
export function drainEventFd(fd: number): boolean {
  return libc.read_u32(fd, counter, 8) === 8;
}

/** An eventfd that its owner closes. */
export class EventFd {
  /** The file descriptor; valid in every thread of the process. */
  readonly fd: number = createEventFd();

  /** Adds one to the counter. */
  signal(): void {
    signalEventFd(this.fd);
  }

  /** Sets the counter to zero; true when it was not zero. */
  drain(): boolean {
    return drainEventFd(this.fd);
  }

  /** Closes the descriptor. */
  close(): void {
    closeFd(this.fd);
  }

  /** `using` support. */
  [Symbol.dispose](): void {
    this.close();
  }
}
