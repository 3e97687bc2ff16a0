/**
 * Waiting for many descriptors at once. Deno has 32 threads for calls that
 * block, and all who wait here share one of them.
 *
 * @module
 */
import { Epoll, Events } from "./epoll.ts";
import { Poll, pollFd } from "./poll.ts";

/** Who waits for a descriptor's input, and for room for output. */
interface Waiting {
  input?: PromiseWithResolvers<void>;
  output?: PromiseWithResolvers<void>;
}

const waiting = new Map<number, Waiting>();
let epoll: Epoll | undefined; // while anybody waits

/**
 * Waits until a read or a write of `fd` would not block, or fails, as `pollFd`
 * does. The descriptor stays open until then.
 *
 * @param events one of {@linkcode Poll}
 */
export function ready(fd: number, events: number): Promise<void> {
  const which = events === Poll.IN ? "input" : "output";
  const known = waiting.get(fd);
  const waiter = known ?? {};
  const before = waiter[which];
  if (before) return before.promise;
  const until = Promise.withResolvers<void>();
  waiter[which] = until;
  const first = epoll === undefined;
  epoll ??= new Epoll();
  if (known) epoll.modify(fd, fd, wanted(waiter));
  else epoll.add(fd, fd, wanted(waiter));
  waiting.set(fd, waiter);
  if (first) void watch(epoll);
  return until.promise;
}

function wanted({ input, output }: Waiting): number {
  return (input ? Events.IN : 0) | (output ? Events.OUT : 0);
}

async function watch(set: Epoll): Promise<void> {
  while (waiting.size > 0) {
    await pollFd(set.fd, Poll.IN); // an epoll is a descriptor to wait for, too
    const count = set.wait(0);
    for (let i = 0; i < count; i++) settle(set, set.token(i), set.events(i));
  }
  epoll = undefined;
  set.close();
}

function settle(set: Epoll, fd: number, events: number): void {
  const waiter = waiting.get(fd)!;
  const over = events & (Events.HUP | Events.ERR);
  if (over || events & Events.IN) {
    waiter.input?.resolve();
    waiter.input = undefined;
  }
  if (over || events & Events.OUT) {
    waiter.output?.resolve();
    waiter.output = undefined;
  }
  if (wanted(waiter) !== 0) return set.modify(fd, fd, wanted(waiter));
  set.remove(fd);
  waiting.delete(fd);
}
