/**
 * What signals do to the command line. Those that end a process end a session
 * in order, and then the process by themselves, so that whoever waits for it
 * sees what it died of.
 *
 * @module
 */
import type { SignalName } from "../../ffi/signal.ts";
import { Alarm } from "../../ffi/alarm.ts";
import { isClosed, standardError, standardOutput } from "./output.ts";

/** Signals that end a process that says nothing of them. */
const ENDING = [
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGTERM",
  "SIGUSR2",
  "SIGALRM",
  "SIGXCPU",
] as const;

/** Deno handles these by itself, from half a second after its start on. */
const HANDLED_BY_DENO: readonly SignalName[] = ["SIGHUP", "SIGINT", "SIGTERM"];

/**
 * How long output may take that nobody waits for any more: so many times so
 * many milliseconds. A process that was stopped has lost one of them.
 */
const LAST_WORDS = 4;
const LAST_WORD = 50;

/** How often it is asked whether Deno handles SIGUSR1, in milliseconds. */
const LOOK_INTERVAL = 5;
/** It does so after half a second; for so long it is asked. */
const LOOKS = 2000;

type Native = typeof import("../../ffi/signal.ts");

const ending = new AbortController();
let native: Native | undefined;
let cause: SignalName | undefined;

/** Aborted when a signal, or the user, asks for the end of what is under way. */
export const ended: AbortSignal = ending.signal;

/**
 * For the beginning of a program: lets signals do what they do to any other
 * process, as far as Deno doesn't.
 */
export async function settleSignals(): Promise<void> {
  const { state } = Deno.permissions.querySync({ name: "ffi" });
  if (state !== "granted") return;
  native = await import("../../ffi/signal.ts");
  const { getAction, ignoreSignal, isIgnored } = native;
  ignoreDebugger(native);
  // Beyond a limit of a file's size, a write fails; no more.
  ignoreSignal("SIGXFSZ");
  // As nohup wants it. Deno's handlers come with the first listener, all of
  // them, and never again.
  const ignored = HANDLED_BY_DENO.filter((name) => isIgnored(getAction(name)));
  for (const name of ignored) Deno.addSignalListener(name, () => {});
  for (const name of ignored) ignoreSignal(name);
}

/** SIGUSR1 would open a debugger to whoever can connect to this host. */
function ignoreDebugger({ getAction, ignoreSignal, isCaught }: Native): void {
  ignoreSignal("SIGUSR1");
  let looks = 0;
  const look = () => {
    const handled = isCaught(getAction("SIGUSR1"));
    if (handled) ignoreSignal("SIGUSR1");
    else if (++looks < LOOKS) new Alarm(LOOK_INTERVAL, look);
  };
  new Alarm(LOOK_INTERVAL, look);
}

/**
 * From now on the first ending signal aborts {@linkcode ended}, and whoever
 * listens to that ends in order; the next one ends the process at once.
 *
 * @param otherwise the signal that means something else
 */
export function endInOrder(otherwise?: SignalName): void {
  for (const name of ENDING) {
    if (name === otherwise) continue;
    if (native?.isIgnored(native.getAction(name))) continue;
    Deno.addSignalListener(name, () => {
      if (cause !== undefined) die(name);
      endBy(name);
    });
  }
}

/**
 * Asks for the end.
 *
 * @param name the signal that the process will have died of; undefined: none
 */
export function endBy(name?: SignalName): void {
  cause ??= name;
  ending.abort();
}

/**
 * Resolves when all that was printed has been taken, however long that takes,
 * or a moment after {@linkcode endBy}: what was printed just now has it, too.
 */
async function printed(): Promise<void> {
  const over = Promise.withResolvers<void>();
  const limit = () => inAMoment(over.resolve);
  if (ended.aborted) limit();
  else ended.addEventListener("abort", limit, { once: true });
  const all = [standardOutput.flushed(), standardError.flushed()];
  await Promise.race([Promise.all(all), over.promise]);
}

/** The same, but it takes no longer than a moment. */
export async function printedSoon(): Promise<void> {
  const soon = Promise.withResolvers<void>();
  inAMoment(soon.resolve);
  await Promise.race([printed(), soon.promise]);
}

function inAMoment(then: () => void, words = LAST_WORDS): void {
  new Alarm(
    LAST_WORD,
    () => words > 1 ? inAMoment(then, words - 1) : then(),
  );
}

/**
 * Ends the process: by the signal that has asked for it, or with `status`, if
 * that isn't 1 for what could not be printed.
 */
export async function leave(status: number): Promise<never> {
  await printed();
  const { failure } = standardOutput;
  if (failure && isClosed(failure)) cause ??= "SIGPIPE";
  if (cause !== undefined) die(cause);
  if (failure === undefined) Deno.exit(status);
  standardError.print(`vireo: ${failure.message}`);
  await printed();
  Deno.exit(status || 1);
}

function die(name: SignalName): never {
  native?.defaultSignal(name);
  native?.raiseSignal(name);
  Deno.exit(1); // where signals can't be raised
}

/**
 * Calls `stopping` before a SIGTSTP stops the process, and `continued` when it
 * goes on, whatever has stopped it; perhaps twice.
 */
export function aroundStops(
  stopping: () => void,
  continued: () => void,
): Disposable {
  const stop = () => {
    stopping();
    const caught = native?.defaultSignal("SIGTSTP");
    native?.raiseSignal("SIGTSTP");
    if (caught) native?.setAction("SIGTSTP", caught);
    continued(); // it may not have stopped: nobody could let it go on
  };
  const mayStop = native && !native.isIgnored(native.getAction("SIGTSTP"));
  if (mayStop) Deno.addSignalListener("SIGTSTP", stop);
  Deno.addSignalListener("SIGCONT", continued);
  return {
    [Symbol.dispose]() {
      if (mayStop) Deno.removeSignalListener("SIGTSTP", stop);
      Deno.removeSignalListener("SIGCONT", continued);
    },
  };
}
