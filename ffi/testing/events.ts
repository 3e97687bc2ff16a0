/**
 * For tests: events that are sure to come.
 *
 * @module
 */
import type { Epoll } from "../epoll.ts";

/** Far beyond what any of them takes, in milliseconds. */
const PATIENCE = 60_000;

/**
 * How many events there are, once there are some: a signal to the process, which
 * any of its threads may get, ends a wait before them.
 */
export function eventsOf(epoll: Epoll): number {
  const end = performance.now() + PATIENCE;
  let count = 0;
  while (count === 0 && performance.now() < end) count = epoll.wait(PATIENCE);
  return count;
}
