/**
 * For tests: what this process holds of what machines are made of.
 *
 * @module
 */
import assert from "node:assert/strict";
import { descriptorsButDenos } from "../../ffi/testing/descriptors.ts";

/** Far off: threads end a moment after their last message. */
const LIMIT = 120_000;

/** What is held, as sorted texts. */
export interface Held {
  /** What the open descriptors are, but for Deno's own files and loops. */
  descriptors: string[];
  /** Workers' threads. */
  threads: string[];
  /** Mappings of KVM's and io_uring's, and those of files in `folder`. */
  mappings: string[];
  /** flock(2)'s; Deno's own, of its caches, are fcntl(2)'s. */
  locks: string[];
  /** Names in `folder`. */
  files: string[];
}

/** Looks in a row that must find the same, 20 ms apart. */
const SAME = 10;

/** What is held once no worker of an earlier machine is left. */
export async function heldAtRest(folder: string): Promise<Held> {
  const limit = performance.now() + LIMIT;
  let last = held(folder);
  for (let same = 0; same < SAME;) {
    await new Promise((done) => setTimeout(done, 20));
    const now = held(folder);
    const rests = now.threads.length === 0 &&
      JSON.stringify(now) === JSON.stringify(last);
    same = rests ? same + 1 : 0;
    last = now;
    assert.ok(performance.now() < limit, now.threads.join());
  }
  return last;
}

/** What is held now. Machines have their files and sockets in `folder`. */
function held(folder: string): Held {
  const lines = (path: string) => Deno.readTextFileSync(path).split("\n");
  const named = ["kvm", "io_uring", folder];
  return {
    descriptors: descriptorsButDenos().filter((name) =>
      /^(anon_inode|socket|\/dev\/(kvm|net))/.test(name) ||
      name.startsWith(folder)
    ),
    threads: workerThreads(),
    mappings: lines("/proc/self/maps").filter((line) =>
      named.some((name) => line.includes(name))
    ),
    locks: lines("/proc/locks").filter((line) =>
      line.includes("FLOCK") && line.split(/\s+/).includes(`${Deno.pid}`)
    ).map((line) => line.replace(/^\d+: /, "")).sort(),
    files: Deno.readDirSync(folder).map(({ name }) => name).toArray().sort(),
  };
}

/** Names of the workers' threads of this process. */
export function workerThreads(): string[] {
  return Deno.readDirSync("/proc/self/task").flatMap(({ name }) =>
    threadName(name)
  ).filter((name) => name.startsWith("worker-")).toArray().sort();
}

/** Waits until the same is held as `before`. */
export async function heldAgain(
  folder: string,
  before: Held,
  what: string,
): Promise<void> {
  const same = () => JSON.stringify(held(folder)) === JSON.stringify(before);
  for (const limit = performance.now() + LIMIT; !same();) {
    if (performance.now() > limit) {
      assert.deepEqual(held(folder), before, what);
    }
    await new Promise((done) => setTimeout(done, 2));
  }
}

function threadName(id: string): string[] {
  try {
    return [Deno.readTextFileSync(`/proc/self/task/${id}/comm`).trim()];
  } catch {
    return []; // ended meanwhile
  }
}
