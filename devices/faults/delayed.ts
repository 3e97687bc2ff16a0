/**
 * One direction of a stream, in which nothing goes on for a while.
 *
 * @module
 */
import type { Timers } from "../runtime/timers.ts";
import { delayOf, type Fate } from "./rules.ts";

/** A direction. */
export class Delayed {
  /** What it waits in. */
  timers: Timers | undefined;
  /** Called when it goes on. */
  over: () => void = () => {};
  #waits: "delay" | "stall" | undefined;
  #due = false; // what has waited has its fate behind it
  #number = 0; // of the delay

  /** Nothing goes on. */
  get waits(): boolean {
    return this.#waits !== undefined;
  }

  /** True once after it has waited: what comes now is what has. */
  due(): boolean {
    const due = this.#due;
    this.#due = false;
    return due;
  }

  /** What is there waits, as `fate` says. */
  wait(fate: Fate): void {
    this.#due = true;
    if (fate.effect === "stall") this.#waits = "stall";
    else this.begin(delayOf(fate));
  }

  /** Nothing goes on for so long. */
  begin(milliseconds: number): void {
    this.#waits = "delay";
    const number = ++this.#number;
    this.timers!.set(milliseconds, () => {
      if (this.#waits === "delay" && this.#number === number) this.#end();
    });
  }

  /** A stall is over. */
  goOn(): void {
    if (this.#waits === "stall") this.#end();
  }

  /** Whatever waited is no more. */
  forget(): void {
    this.#waits = undefined;
    this.#due = false;
  }

  #end(): void {
    this.#waits = undefined;
    this.over();
  }
}
