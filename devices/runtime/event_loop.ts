/**
 * The device worker's loop: one epoll over doorbells, TAPs, completions and
 * the control eventfd.
 *
 * @module
 */
import { Epoll, Events } from "../../ffi/epoll.ts";

/** Something that waits for a file descriptor. */
export interface Watcher {
  /** The descriptor is ready: `events` are `EPOLL*` bits. */
  onReady(events: number): void;
}

/** Descriptors and who waits for them. A turn allocates nothing. */
export class EventLoop implements Disposable {
  readonly #epoll = new Epoll();
  readonly #watchers: (Watcher | undefined)[] = []; // index is the token
  readonly #tokens: Map<number, number> = new Map(); // by descriptor
  readonly #free: number[] = [];
  // Tokens of this turn's forgotten descriptors: an event of theirs may still
  // be to come, and must not reach a new watcher.
  readonly #retired: number[] = [];

  /** Readable when someone is ready. */
  get fd(): number {
    return this.#epoll.fd;
  }

  /** Calls `watcher` when `fd` is ready; 0 events waits for nothing. */
  watch(fd: number, watcher: Watcher, events: number = Events.IN): void {
    const token = this.#free.pop() ?? this.#watchers.length;
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
    this.#retired.push(token);
  }

  /** Waits at most `timeout` ms (-1: for ever) and calls who is ready. */
  turn(timeout: number): number {
    const epoll = this.#epoll;
    const count = epoll.wait(timeout);
    for (let i = 0; i < count; i++) {
      this.#watchers[epoll.token(i)]?.onReady(epoll.events(i));
    }
    while (this.#retired.length > 0) this.#free.push(this.#retired.pop()!);
    return count;
  }

  /** Closes the epoll descriptor. */
  close(): void {
    this.#epoll.close();
  }

  /** `using` support. */
  [Symbol.dispose](): void {
    this.close();
  }
}
