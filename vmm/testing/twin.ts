/**
 * For tests: a machine that was made of another's state, with a shell to type
 * into.
 *
 * @module
 */
import type { Machine } from "../machine.ts";
import type { MachineOptions } from "../machine_options.ts";
import { TestMachine } from "./mod.ts";
import { answer } from "./shell.ts";

/** A restored or forked machine. */
export class Twin implements AsyncDisposable {
  readonly #test: TestMachine;
  #commands = 0;

  private constructor(test: TestMachine) {
    this.#test = test;
  }

  /** The machine that `make` makes with these options. */
  static async of(
    make: (options: MachineOptions) => Promise<Machine>,
  ): Promise<Twin> {
    const test = await TestMachine.of(make);
    if (test.machine.state === "created") test.machine.start();
    return new Twin(test);
  }

  /** The machine, which has begun. */
  get machine(): Machine {
    return this.#test.machine;
  }

  /** What it has printed so far. */
  get output(): string {
    return this.#test.output;
  }

  /** Types a command; returns what it prints. */
  async run(command: string): Promise<string> {
    const said = await answer(this.#test, command, `twin ${++this.#commands}`);
    return said.replaceAll("\r\n", "\n");
  }

  /** Ends the machine. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#test[Symbol.asyncDispose]();
  }
}
