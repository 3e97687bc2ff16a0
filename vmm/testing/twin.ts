/**
 * For tests: a machine that was made of another's state, with a shell to type
 * into.
 *
 * @module
 */
import { until } from "../../ffi/testing/until.ts";
import type { Machine } from "../machine.ts";
import type { MachineOptions } from "../machine_options.ts";

/** A restored or forked machine. */
export class Twin implements AsyncDisposable {
  /** The machine, which has begun. */
  readonly machine: Machine;
  readonly #chunks: Uint8Array[];
  #commands = 0;

  private constructor(machine: Machine, chunks: Uint8Array[]) {
    this.machine = machine;
    this.#chunks = chunks;
  }

  /** The machine that `make` makes with these options. */
  static async of(
    make: (options: MachineOptions) => Promise<Machine>,
  ): Promise<Twin> {
    const chunks: Uint8Array[] = [];
    const machine = await make({ onOutput: (bytes) => chunks.push(bytes) });
    if (machine.state === "created") machine.start();
    return new Twin(machine, chunks);
  }

  /** What it has printed so far. */
  get output(): string {
    const decoder = new TextDecoder();
    return this.#chunks.map((chunk) => decoder.decode(chunk)).join("");
  }

  /** Types a command; returns what it prints. */
  async run(command: string): Promise<string> {
    const end = `<twin ${++this.#commands}>`;
    const from = this.output.length;
    const line = `${command}; echo "${end.replace("<", '<""')}"\n`;
    this.machine.input(new TextEncoder().encode(line));
    await until(() => this.output.includes(end), end, () => this.output);
    return this.output.slice(from, this.output.indexOf(end))
      .replaceAll("\r\n", "\n").trim();
  }

  /** Ends the machine. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine.stop();
  }
}
