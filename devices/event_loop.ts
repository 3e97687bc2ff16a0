/**
 * The device worker's loop: one epoll over doorbells, TAPs, completions and
 * the control eventfd.
 *
 * @module
 */
import { Epoll, Events } from "../ffi/epoll.ts";

/** Something that waits for a file descriptor. */
export interface Watcher {
  /** The descriptor is ready: `events` are `EPOLL*` bits. */
  ready(events: number): void;
}

/** Descriptors and who waits for them. A turn allocates nothing. */
export class EventLoop {
  readonly #epoll = new Epoll();
  readonly #watchers: (Watcher | undefined)[] = [];
  readonly #tokens: Map<number, number> = new Map();

  /** Calls `watcher` when `fd` is ready; 0 events waits for nothing. */
  watch(fd: number, watcher: Watcher, events: number = Events.IN): void {
    let token = this.#watchers.indexOf(undefined);
    if (token < 0) token = this.#watchers.length;
    this.#epoll.add(fd, token, events);
    this.#watchers[token] = watcher;
    this.#tokens.set(fd, token);
  }

  /** Changes what `fd` is watched for. */
  modify(fd: number, events: number): void {
    this.#epoll.modify(fd, this.#tokens.get(fd)!, events);
  }

  /** Forgets `fd`; it stays open. */
  unwatch(fd: number): void {
    const token = this.#tokens.get(fd);
    if (token === undefined) return;
    this.#epoll.remove(fd);
    this.#tokens.delete(fd);
    this.#watchers[token] = undefined;
  }

  /** Waits at most `timeout` ms (-1: for ever) and calls who is ready. */
  turn(timeout: number): number {
    const epoll = this.#epoll;
    const count = epoll.wait(timeout);
    for (let i = 0; i < count; i++) {
      this.#watchers[epoll.token(i)]?.ready(epoll.events(i));
    }
    return count;
  }

  /** Closes the epoll descriptor. */
  close(): void {
    this.#epoll.close();
  }
}
