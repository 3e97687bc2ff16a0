/**
 * A machine's end in time, also when the host lets one of its threads wait for
 * ever: for a frozen file system, or a server that doesn't answer.
 *
 * @module
 */
import type { OwnName } from "../ffi/own_name.ts";
import { comesInTime } from "../ffi/alarm.ts";
import { comesFromWork } from "../ffi/at_work.ts";

/** Milliseconds from one look at the threads to the next. */
const PAUSE = 300;
/** Milliseconds that names have to go. */
const LIMIT = 3000;

const STUCK = "the host does not finish what the guest has asked of a disk " +
  "or a network; what is held for it is released when it does";

/**
 * Waits until a machine has released everything, but not for ever: then what its
 * threads hold stays theirs until they stop, and only names are taken away.
 *
 * @param log hears of that
 * @param busy it is its owner who takes time
 * @param pause milliseconds from look to look
 */
export async function releasedInTime(
  released: Promise<void>,
  { names }: { readonly names: readonly OwnName[] },
  log: (line: string) => void,
  busy: () => boolean = () => false,
  pause = PAUSE,
): Promise<void> {
  if (await comesFromWork(released, pause, busy)) return;
  released.catch(() => {}); // nobody waits for it any more
  log(STUCK);
  await comesInTime(Promise.all(names.map((name) => name.remove())), LIMIT);
}
