/**
 * Runs machines in one process. What each prints has its number in front.
 *
 * @module
 */
import type { MachineOptions, VmConfig } from "../../mod.ts";
import { Machine } from "../../vmm/machine.ts";
import { SharedDeviceWorker } from "../../vmm/shared_devices/shared_device_worker.ts";

/** What is to be run: the program's argument, as JSON. */
export interface Program {
  /** The machines. */
  configs: VmConfig[];
  /** {@linkcode MachineOptions.keepProgram}. */
  keepProgram?: boolean;
  /** Their devices share a thread. */
  shared?: boolean;
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

async function run({ configs, keepProgram, shared }: Program): Promise<void> {
  const machines: Machine[] = [];
  const deviceWorker = new SharedDeviceWorker();
  for (const [number, config] of configs.entries()) {
    const options: MachineOptions = {
      onOutput: printer(`${number}`),
      onLog: (message) => console.error(`${number}: ${message}`),
      ...(keepProgram && { keepProgram }),
      ...(shared && { deviceWorker }),
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
