/**
 * The boot timer: the guest's init writes 123 to its address as its first
 * act, and the machine notes the time since it was started. Value and address
 * are Firecracker's, so that its guest images are timed as they are.
 *
 * @module
 */
import type { BusDevice } from "../bus.ts";

/** Bytes of the device. */
export const BOOT_TIMER_SIZE = 0x1000;

/** The value that means: user space runs. */
export const BOOTED = 123;

/** What the boot timer tells the machine. */
export interface BootTimerHooks {
  /** User space runs: called once, in the thread of the vCPU that wrote. */
  booted(): void;
}

/** One isolate's boot timer on the shared state. */
export class BootTimer implements BusDevice {
  readonly #done: Int32Array<SharedArrayBuffer>;
  readonly #hooks: BootTimerHooks;

  /** Whether the guest has booted, seen by all vCPU threads. */
  static createState(): SharedArrayBuffer {
    return new SharedArrayBuffer(4);
  }

  /** The timer on what {@linkcode BootTimer.createState} made. */
  constructor(shared: SharedArrayBuffer, hooks: BootTimerHooks) {
    this.#done = new Int32Array(shared);
    this.#hooks = hooks;
  }

  /** Reads as zero. */
  read(_offset: number, _size: number): number {
    return 0;
  }

  /** The first write of {@linkcode BOOTED} to the first byte counts. */
  write(offset: number, _size: number, value: number): void {
    if (offset !== 0 || (value & 0xff) !== BOOTED) return;
    if (Atomics.exchange(this.#done, 0, 1) === 0) this.#hooks.booted();
  }
}
