/**
 * What signals do to an API process: those that Firecracker handles end it with
 * codes of their own, and all others as if nobody had heard of them.
 *
 * @module
 */
import { defaultSignal, getAction, isCaught } from "../ffi/signal.ts";

/** Those that say why the process ends, and its exit code. */
const CODES = { SIGHUP: 156, SIGXCPU: 154, SIGXFSZ: 151, SIGSYS: 148 } as const;

/** How often it is asked whether Deno handles SIGUSR1, in milliseconds. */
const INTERVAL = 50;
/** It does so half a second after its start. */
const LOOKS = 100;

/** From now on `end` is called with the code. */
export function onSignals(end: (code: number) => unknown): void {
  for (const [name, code] of Object.entries(CODES)) {
    Deno.addSignalListener(name as Deno.Signal, () => void end(code));
  }
}

/** SIGUSR1 ends the process; Deno's handler would open a debugger to whoever can connect to this host. */
export function noDebugger(looks = 0): void {
  if (isCaught(getAction("SIGUSR1"))) return void defaultSignal("SIGUSR1");
  if (looks < LOOKS) {
    Deno.unrefTimer(setTimeout(noDebugger, INTERVAL, looks + 1));
  }
}
