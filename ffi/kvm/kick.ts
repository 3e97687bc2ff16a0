/**
 * Kicking a vCPU out of `KVM_RUN` with a real-time signal that no handler
 * ever sees: it is blocked in the vCPU's thread, and unblocked by
 * `KVM_SET_SIGNAL_MASK` only while the guest runs.
 *
 * @module
 */
import { check } from "../errno.ts";
import { libc } from "../libc.ts";

/**
 * The signal: a real-time one, past the two that glibc keeps. SIGUSR1 will
 * not do, because Deno opens its inspector on it.
 */
export const KICK_SIGNAL = 40;

const SIG_BLOCK = 0;

/** The kernel's `sigset_t` (8 bytes) with only the kick signal in it. */
function kickSet(): Uint8Array<ArrayBuffer> {
  // glibc's sigset_t is 128 bytes; the kernel reads the first 8.
  const set = new Uint8Array(128);
  new DataView(set.buffer).setBigUint64(0, 1n << BigInt(KICK_SIGNAL - 1), true);
  return set;
}

const kickOnly = kickSet();
const noTime = new Uint8Array(16);

/** Blocks the kick signal in the calling thread, for its lifetime. */
export function blockKickSignal(): void {
  check(libc.pthread_sigmask(SIG_BLOCK, kickOnly, null), "pthread_sigmask");
}

/** The kernel's id of the calling thread. */
export function currentThread(): number {
  return libc.gettid();
}

/** Interrupts `KVM_RUN` in the thread `tid` of this process. */
export function kickThread(tid: number): void {
  libc.tgkill(libc.getpid(), tid, KICK_SIGNAL);
}

/** Takes pending kicks off the calling thread. */
export function drainKicks(): void {
  while (libc.sigtimedwait(kickOnly, null, noTime) > 0) {
    // one pending signal per round
  }
}
