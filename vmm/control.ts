/**
 * The words through which the main isolate steers the workers. A vCPU thread
 * sits in `KVM_RUN` and reads no messages, so commands are words in shared
 * memory, followed by a kick.
 *
 * @module
 */
import { kickThread } from "../ffi/kvm/kick.ts";

/** What the workers are to do. */
export const Command = { RUN: 0, PAUSE: 1, STOP: 2 } as const;

/**
 * Bits of a command's word that say which; those above count commands, so that
 * a worker that was slow to wait for the end of one pause does not sleep
 * through the start of the next.
 */
const COMMAND_BITS = 2;
const COMMAND_MASK = (1 << COMMAND_BITS) - 1;

const VCPU_COMMAND = 0;
const DEVICE_COMMAND = 1;
const MESSAGES = 2;
const RESETS = 3;
const VCPUS = 16;
const VCPU_STRIDE = 16;
const TID = 0;
const EXITS = 1;
const HALTED = 2;
const EXITS_SEEN = 3;
const HELD = 4;

/** The most vCPUs of one machine. */
export const MAX_VCPUS = 32;

/** One thread's view of a machine's control words. */
export class Control {
  /** The words, to hand to other threads. */
  readonly shared: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;

  /** Views `shared`, or new words: everyone is to run. */
  constructor(
    shared: SharedArrayBuffer = new SharedArrayBuffer(
      4 * (VCPUS + VCPU_STRIDE * MAX_VCPUS),
    ),
  ) {
    this.shared = shared;
    this.#words = new Int32Array(shared);
  }

  /** What the vCPUs are to do: one of {@linkcode Command}. */
  get vcpuCommand(): number {
    return Atomics.load(this.#words, VCPU_COMMAND) & COMMAND_MASK;
  }

  /** Sets it and wakes paused vCPUs; those in the guest need a kick. */
  set vcpuCommand(command: number) {
    this.#setCommand(VCPU_COMMAND, command);
  }

  /** What the device worker is to do. */
  get deviceCommand(): number {
    return Atomics.load(this.#words, DEVICE_COMMAND) & COMMAND_MASK;
  }

  /** Sets it; then signal the worker's eventfd. */
  set deviceCommand(command: number) {
    this.#setCommand(DEVICE_COMMAND, command);
  }

  /**
   * While the device worker's command is PAUSE, a number that no other pause
   * has; else 0.
   */
  get devicePause(): number {
    const word = Atomics.load(this.#words, DEVICE_COMMAND);
    return (word & COMMAND_MASK) === Command.PAUSE ? word : 0;
  }

  /** One more message was sent to the device worker; then signal its eventfd. */
  announceMessage(): void {
    Atomics.add(this.#words, MESSAGES, 1);
  }

  /** How many were announced; a number of 32 bits that wraps. */
  get messages(): number {
    return Atomics.load(this.#words, MESSAGES);
  }

  /** How often the machine has been put back to a snapshot. */
  get resets(): number {
    return Atomics.load(this.#words, RESETS);
  }

  /** Counts one: what vCPUs were doing for the guest is not to be done. */
  countReset(): void {
    Atomics.add(this.#words, RESETS, 1);
  }

  /** True once the machine ends. Cheap: it's asked in waiting loops. */
  get stopping(): boolean {
    return this.vcpuCommand === Command.STOP;
  }

  /**
   * While the vCPUs' command is PAUSE, or vCPU `id` is held, blocks the calling
   * vCPU thread.
   *
   * @param paused called before it blocks, for each PAUSE
   */
  waitWhileVcpusPaused(paused: () => void, id: number): void {
    for (;;) {
      const last = Atomics.load(this.#words, VCPU_COMMAND);
      const command = last & COMMAND_MASK;
      if (command === Command.PAUSE) paused();
      else if (command === Command.STOP) return;
      else if (Atomics.load(this.#words, word(id, HELD)) === 0) return;
      Atomics.wait(this.#words, VCPU_COMMAND, last);
    }
  }

  /** Whether vCPU `id` waits though all may run; noticed at a command. */
  setHeld(id: number, held: boolean): void {
    Atomics.store(this.#words, word(id, HELD), held ? 1 : 0);
  }

  /** The thread of vCPU `id`; 0 before it has started. */
  threadOf(id: number): number {
    return Atomics.load(this.#words, word(id, TID));
  }

  /** Calls the first `count` vCPUs out of the guest, those that have started. */
  kick(count: number): void {
    for (let id = 0; id < count; id++) {
      const tid = this.threadOf(id);
      if (tid !== 0) kickThread(tid);
    }
  }

  /** Publishes the calling thread as that of vCPU `id`. */
  setThreadOf(id: number, tid: number): void {
    Atomics.store(this.#words, word(id, TID), tid);
  }

  /**
   * True when vCPU `id` has not exited, but for kicks, since the last time this
   * was asked.
   */
  idleSinceLastLook(id: number): boolean {
    const exits = this.#words[word(id, EXITS)]!;
    const idle = exits === this.#words[word(id, EXITS_SEEN)];
    this.#words[word(id, EXITS_SEEN)] = exits;
    return idle;
  }

  /** Counts an exit. Hot: a plain store, only this vCPU writes it. */
  countExit(id: number): void {
    this.#words[word(id, EXITS)]!++;
  }

  /** Exits of vCPU `id` so far; wraps at 32 bits. */
  exits(id: number): number {
    return this.#words[word(id, EXITS)]! >>> 0;
  }

  /** True when vCPU `id` sleeps and nothing can wake it. */
  haltedForEver(id: number): boolean {
    return Atomics.load(this.#words, word(id, HALTED)) === 1;
  }

  /** Publishes the above for the calling vCPU. */
  setHaltedForEver(id: number, halted: boolean): void {
    Atomics.store(this.#words, word(id, HALTED), halted ? 1 : 0);
  }

  /** Only the main isolate sets commands. */
  #setCommand(index: number, command: number): void {
    const last = Atomics.load(this.#words, index);
    const count = (last >> COMMAND_BITS) + 1;
    Atomics.store(this.#words, index, count << COMMAND_BITS | command);
    Atomics.notify(this.#words, index);
  }
}

function word(id: number, offset: number): number {
  return VCPUS + id * VCPU_STRIDE + offset;
}
