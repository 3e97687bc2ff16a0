/**
 * For tests: what this process has open, but for what Deno waits with.
 *
 * @module
 */
import { descriptorsOfProcess } from "./mmap.ts";

/**
 * What Deno's event loops have an epoll wait for, as proc(5) shows it in
 * fdinfo: EPOLLRDHUP is among the events (nobody else asks for it here), and
 * the data is 0 for the eventfd that wakes the loop, 1 for the signals' socket.
 */
const OF_A_LOOP =
  /^tfd:\s*(\d+) events:\s*[0-9a-f]*[2367abef][0-9a-f]{3} data:\s*[01] /gm;

/**
 * What the process's descriptors are, sorted, without those of Deno's event
 * loops: an epoll, an eventfd and the socket of signals. Each worker has a
 * loop, and Deno keeps what wakes that of a worker that has ended, often the
 * last one's, for as long as it likes.
 */
export function descriptorsButDenos(): string[] {
  const open = descriptorsOfProcess();
  const denos = new Set<number>();
  const sockets = new Set<string>(); // one, with a descriptor for each loop
  for (const [epoll, what] of open) {
    if (!what.endsWith("[eventpoll]")) continue;
    for (const [, watched] of fdInfo(epoll).matchAll(OF_A_LOOP)) {
      const fd = Number(watched);
      const name = open.get(fd);
      if (name?.startsWith("socket:")) sockets.add(name);
      denos.add(epoll).add(fd);
    }
  }
  return [...open].filter(([fd, name]) => !denos.has(fd) && !sockets.has(name))
    .map(([, name]) => name).sort();
}

function fdInfo(fd: number): string {
  try {
    return Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`);
  } catch {
    return ""; // closed meanwhile
  }
}
