/**
 * Control of a machine from outside of its process. Loaded once it runs.
 *
 * @module
 */
import { absolutePath } from "../../ffi/own_name.ts";
import type { ResolvedConfig } from "../config/mod.ts";
import type { MachineOptions } from "../machine_options.ts";
import { type ControlledMachine, Controller } from "./controller.ts";
import { controlFolder, freeSocket, makeFolder } from "./folder.ts";
import { checkName } from "./name.ts";
import { answerTo } from "./requests.ts";
import { type Answer, ControlServer } from "./server.ts";

/**
 * Gives a machine its control socket, until it ends. Without one it runs all
 * the same, and its owner is told why.
 */
export function openControl(
  machine: ControlledMachine & { wait(): Promise<unknown> },
  { cpus, memory, source }: Pick<ResolvedConfig, "cpus" | "memory" | "source">,
  { control, onLog }: MachineOptions,
): void {
  const { name, command = commandOf() } = typeof control === "object"
    ? control
    : {};
  const identity = { name, command, cpus, memory };
  const controller = new Controller(machine, identity, kernelOf(source));
  if (controller.phase === "ended") return;
  try {
    if (name !== undefined) checkName(name, "name");
    const folder = controlFolder();
    makeFolder(folder);
    const answer: Answer = (line, asker) => answerTo(controller, line, asker);
    const server = new ControlServer(freeSocket(folder), answer);
    const close = () => server[Symbol.dispose]();
    machine.wait().then(close, close);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    onLog?.(`no control socket, so "vireo ps" can't see this: ${why}`);
  }
}

/** Of a restored machine, nobody knows it any more. */
function kernelOf(source: ResolvedConfig["source"]): string | undefined {
  const path: unknown = source["boot-source"]?.kernel_image_path;
  return typeof path === "string" ? absolutePath(path) : undefined;
}

/** The program that this isolate was started for, and its arguments. */
function commandOf(): string[] {
  return [Deno.mainModule.replace(/^file:\/\//, ""), ...Deno.args];
}
