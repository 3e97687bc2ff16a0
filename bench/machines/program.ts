/**
 * Runs machines in one process. What each prints has its number in front.
 *
 * @module
 */
import type { MachineOptions, VmConfig } from "../../mod.ts";
import { Machine } from "../../vmm/machine.ts";

/** What is to be run: the program's argument, as JSON. */
export interface Program {
  /** The machines. */
  configs: VmConfig[];
  /** {@linkcode MachineOptions.keepProgram}. */
  keepProgram?: boolean;
}

/** Prints whole lines. */
function printer(name: string): (bytes: Uint8Array) => void {
  const decoder = new TextDecoder();
  let rest = "";
  return (bytes) => {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) console.log(`${name}: ${line.trimEnd()}`);
  };
}

async function run({ configs, keepProgram }: Program): Promise<void> {
  const machines: Machine[] = [];
  for (const [number, config] of configs.entries()) {
    const options: MachineOptions = {
      onOutput: printer(`${number}`),
      onLog: (message) => console.error(`${number}: ${message}`),
      ...(keepProgram && { keepProgram }),
    };
    const machine = await Machine.create(config, options);
    machines.push(machine);
    machine.start();
  }
  for (const machine of machines) {
    const { message } = await machine.wait();
    if (message !== undefined) console.error(message);
  }
}

if (import.meta.main) await run(JSON.parse(Deno.args[0]!));
