/**
 * SIGBUS: a page of a mapped file that can't be had, because the file ends
 * before it or its file system has no room. The access is tried again until it
 * succeeds, so whoever maps something else there mends it.
 *
 * @module
 */
import { libc } from "./libc.ts";

const SIGBUS = 7;
/** `sizeof(struct sigaction)`, glibc's. */
const ACTION_SIZE = 152;

/** Mends what it knows of; true when the access can succeed now. */
type Mender = () => boolean;

const NO_HANDLER = new Uint8Array(ACTION_SIZE);
/** Signals in a row that nobody mends, and which are not only late. */
const UNMENDED_MAX = 20;
const menders = new Set<Mender>();
let unmended = 0;
// What the signal did before, and what Deno has it do for a listener: only its
// first one installs that.
const before = new Uint8Array(ACTION_SIZE);
let denos: Uint8Array | undefined;
let listening = false;
let heard = false;

/**
 * Calls `mend` in this isolate, whose own accesses must not be those that fail,
 * when a thread gets a SIGBUS. One that nobody mends ends the process, as it
 * does without this.
 */
export function onBusError(mend: Mender): Disposable {
  if (menders.size === 0) {
    // Without a handler before it: Deno's calls that first, and Rust's has the
    // next SIGBUS kill the process.
    libc.sigaction(SIGBUS, NO_HANDLER, before);
    if (!listening) Deno.addSignalListener("SIGBUS", mendAny);
    listening = true;
    if (denos) libc.sigaction(SIGBUS, denos, null);
    else libc.sigaction(SIGBUS, null, denos = new Uint8Array(ACTION_SIZE));
  }
  unmended = 0;
  menders.add(mend);
  return {
    [Symbol.dispose]() {
      if (!menders.delete(mend) || menders.size > 0) return;
      libc.sigaction(SIGBUS, before, null);
      // A signal that is still on its way to Deno would kill the process if
      // nobody listened.
      if (heard) return;
      Deno.removeSignalListener("SIGBUS", mendAny);
      listening = false;
    },
  };
}

/**
 * A signal may be heard of when it is mended already, even by who came later;
 * one that isn't comes again and again.
 */
function mendAny(): void {
  heard = true;
  if (menders.size === 0) return;
  const mended = [...menders].map((mend) => mend());
  unmended = mended.includes(true) ? 0 : unmended + 1;
  if (unmended > UNMENDED_MAX) libc.sigaction(SIGBUS, before, null);
}
