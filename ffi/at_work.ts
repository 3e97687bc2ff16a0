/**
 * Whether the threads of this process are at work, or wait for the host.
 *
 * @module
 */
import { comesInTime } from "./alarm.ts";

/**
 * Looks that find all threads waiting, and the event not come. Looks are
 * counted, not time: a process that was stopped has had none.
 */
const WAITING = 10;
/** Looks in all: on a busy host they are at work, but for the host's turn. */
const LOOKS = 200;

/**
 * Whether `event` comes, for as long as the other threads are at work, and some
 * looks longer.
 *
 * @param pause milliseconds from look to look
 * @param busy it is somebody else who takes time
 */
export async function comesFromWork(
  event: Promise<unknown>,
  pause: number,
  busy: () => boolean,
): Promise<boolean> {
  for (
    let waiting = 0, looks = 0;
    waiting < WAITING && looks < LOOKS;
    looks++
  ) {
    const early = busy(); // the threads have had less than their time then
    if (await comesInTime(event, pause)) return true;
    if (early || busy()) waiting = looks = 0;
    else if (!othersAtWork()) waiting++;
  }
  return false;
}

/** A thread of this process but this one runs, or would if it had a CPU. */
function othersAtWork(): boolean {
  try {
    const own = Deno.readLinkSync("/proc/thread-self").split("/").at(-1);
    const threads = [...Deno.readDirSync("/proc/self/task")];
    return threads.some(({ name }) => name !== own && isRunnable(name));
  } catch {
    return false; // without /proc it is not known
  }
}

/** By the state of proc(5), which comes after the name and its bracket. */
function isRunnable(thread: string): boolean {
  try {
    const stat = Deno.readTextFileSync(`/proc/self/task/${thread}/stat`);
    return stat[stat.lastIndexOf(")") + 2] === "R";
  } catch {
    return false; // it has ended
  }
}
