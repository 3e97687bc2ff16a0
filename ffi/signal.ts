/**
 * What signals do to this process: sigaction(2), and a signal to itself.
 *
 * @module
 */
import { check } from "./errno.ts";
import { libc } from "./libc.ts";

/** Signals by their names, x86-64. */
export const Signal = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGBUS: 7,
  SIGUSR1: 10,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGTSTP: 20,
  SIGXCPU: 24,
  SIGXFSZ: 25,
} as const;

/** A signal's name. */
export type SignalName = keyof typeof Signal;

/** What a signal does, as the kernel and glibc keep it. */
export type Action = Uint8Array<ArrayBuffer>;

/** Bytes of glibc's `struct sigaction`; the handler comes first. */
const ACTION_SIZE = 152;
const SIG_DFL = 0n;
const SIG_IGN = 1n;
const SIG_UNBLOCK = 1;
/** Bytes of glibc's `sigset_t`. */
const SET_SIZE = 128;

/** What the signal does now. */
export function getAction(signal: SignalName): Action {
  return act(signal, null);
}

/** Lets it do `action`; returns what it did before. */
export function setAction(signal: SignalName, action: Action): Action {
  return act(signal, action);
}

/** Lets it do nothing. */
export function ignoreSignal(signal: SignalName): Action {
  return act(signal, action(SIG_IGN));
}

/** Lets it do what it does to a process that says nothing of it. */
export function defaultSignal(signal: SignalName): Action {
  return act(signal, action(SIG_DFL));
}

/** True when the action is to do nothing. */
export function isIgnored(action: Action): boolean {
  return handler(action) === SIG_IGN;
}

/** True when the action is to call a function. */
export function isCaught(action: Action): boolean {
  return handler(action) > SIG_IGN;
}

/** Sends it to this thread; what it does, is done before this returns. */
export function raiseSignal(signal: SignalName): void {
  const set = new Uint8Array(SET_SIZE);
  const bit = Signal[signal] - 1;
  set[bit >> 3] = 1 << (bit & 7);
  libc.pthread_sigmask(SIG_UNBLOCK, set, null);
  libc.tgkill(libc.getpid(), libc.gettid(), Signal[signal]);
}

function handler(action: Action): bigint {
  return new DataView(action.buffer).getBigUint64(0, true);
}

function action(handler: bigint): Action {
  const action = new Uint8Array(ACTION_SIZE);
  new DataView(action.buffer).setBigUint64(0, handler, true);
  return action;
}

function act(signal: SignalName, action: Action | null): Action {
  const before = new Uint8Array(ACTION_SIZE);
  check(libc.sigaction(Signal[signal], action, before), `sigaction ${signal}`);
  return before;
}
