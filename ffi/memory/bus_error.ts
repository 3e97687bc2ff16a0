/**
 * SIGBUS: a page of a mapped file that can't be had, because the file ends
 * before it or its file system has no room. The access is tried again until it
 * succeeds, so whoever maps something else there mends it.
 *
 * @module
 */
import { defaultSignal, getAction, isCaught, setAction } from "../signal.ts";

/** Mends what it knows of; true when the access can succeed now. */
type Mender = () => boolean;

/** Milliseconds after which a SIGBUS that comes all the time has no mender. */
const HOPELESS = 2000;
/** Milliseconds between two that are not the same one. */
const ANOTHER = 500;

const menders = new Set<Mender>();
let listening = false;
let heard = false;
// Of those that nobody here mends: when the first and the last came.
let first = -Infinity;
let last = -Infinity;

/**
 * Calls `mend` in this isolate, whose own accesses must not be those that fail,
 * when a thread gets a SIGBUS. One that nobody mends ends the process, as it
 * does without this.
 */
export function onBusError(mend: Mender): Disposable {
  if (!listening) listen();
  menders.add(mend);
  return {
    [Symbol.dispose]() {
      menders.delete(mend);
      // Without a listener Deno lets a SIGBUS kill the process, also one that
      // it hears of late.
      if (menders.size > 0 || heard || !listening) return;
      Deno.removeSignalListener("SIGBUS", mendAny);
      listening = false;
    },
  };
}

/**
 * Deno's handler, which its first listener installs, calls the one before it,
 * and Rust's has the next SIGBUS kill the process: so there is to be none.
 */
function listen(): void {
  const before = defaultSignal("SIGBUS");
  Deno.addSignalListener("SIGBUS", mendAny);
  listening = true;
  const installed = isCaught(getAction("SIGBUS"));
  if (!installed) setAction("SIGBUS", before); // it was Deno's already
}

/**
 * A signal may be heard of when it is mended already, or is for another isolate
 * to mend; one that nobody mends comes again and again.
 */
function mendAny(): void {
  heard = true;
  if ([...menders].map((mend) => mend()).includes(true)) return;
  const now = performance.now();
  if (now - last > ANOTHER) first = now;
  last = now;
  if (now - first > HOPELESS) defaultSignal("SIGBUS");
}
