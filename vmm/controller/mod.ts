/**
 * Control of a machine from outside of its process. Loaded once it runs.
 *
 * @module
 */
import type { MachineOptions } from "../machine_options.ts";
import { type ControlledMachine, Controller } from "./controller.ts";
import { controlFolder, freeSocket, makeFolder } from "./folder.ts";
import { checkName } from "./name.ts";
import { answerTo } from "./requests.ts";
import { ControlServer } from "./server.ts";

/**
 * Gives a machine its control socket, until it ends. Without one it runs all
 * the same, and its owner is told why.
 */
export function openControl(
  machine: ControlledMachine & { wait(): Promise<unknown> },
  { cpus, memory }: { cpus: number; memory: number },
  { control, onLog }: MachineOptions,
): void {
  const { name, command = commandOf() } = typeof control === "object"
    ? control
    : {};
  const controller = new Controller(machine, { name, command, cpus, memory });
  if (controller.phase === "ended") return;
  try {
    if (name !== undefined) checkName(name, "name");
    const folder = controlFolder();
    makeFolder(folder);
    const answer = (line: Uint8Array) => answerTo(controller, line);
    const server = new ControlServer(freeSocket(folder), answer);
    const close = () => server[Symbol.dispose]();
    machine.wait().then(close, close);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    onLog?.(`no control socket, so "vireo ps" can't see this: ${why}`);
  }
}

/** The program that this isolate was started for, and its arguments. */
function commandOf(): string[] {
  return [Deno.mainModule.replace(/^file:\/\//, ""), ...Deno.args];
}
