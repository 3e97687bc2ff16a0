/**
 * Notices a guest that sleeps for ever: one without ACPI ends in HLT with
 * interrupts off, and KVM doesn't say so. One with ACPI has its own way to
 * switch itself off; halted, it stays as it is, like any such PC, and who wants
 * to know is told.
 *
 * @module
 */
import { kickThread } from "../ffi/kvm/kick.ts";
import { Alarm } from "../ffi/alarm.ts";
import type { MachineParts } from "./build.ts";
import { Command, type Control } from "./control.ts";

/** Milliseconds between two looks. */
const INTERVAL = 1000;

/** Looks from time to time, until it is disposed of. */
export class HaltWatch implements Disposable {
  readonly #control: Control;
  readonly #cpus: number;
  readonly #halted: () => void;
  #next: Alarm;

  /** Calls `halted`, once, when none of the vCPUs can ever wake up again. */
  constructor(parts: MachineParts, halted: () => void) {
    this.#control = parts.control;
    this.#cpus = parts.vcpus.length;
    this.#halted = halted;
    this.#next = new Alarm(INTERVAL, () => this.#look());
  }

  /** Looks no more. */
  [Symbol.dispose](): void {
    this.#next[Symbol.dispose]();
  }

  /** Kicks vCPUs that have not exited for a while: they look for themselves. */
  #look(): void {
    this.#next = new Alarm(INTERVAL, () => this.#look());
    const control = this.#control;
    if (control.vcpuCommand !== Command.RUN) return;
    const idle: number[] = [];
    for (let id = 0; id < this.#cpus; id++) {
      if (control.idleSinceLastLook(id)) idle.push(id);
    }
    // What a vCPU said after the last kick holds only if it has done nothing
    // since: another may have started it again.
    if (
      idle.length === this.#cpus &&
      idle.every((id) => control.haltedForEver(id))
    ) {
      this[Symbol.dispose]();
      return this.#halted();
    }
    for (const id of idle) kickThread(control.threadOf(id));
  }
}
