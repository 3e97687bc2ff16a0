/**
 * Makes a machine go on twice.
 *
 * @module
 */
import { Machine } from "../machine.ts";
import type { MachineOptions } from "../machine_options.ts";
import type { Overrides } from "./restore.ts";
import { checkShared, withoutMemoryFile } from "./shared.ts";

/** {@linkcode Machine.fork}. */
export async function forkMachine(
  parent: Pick<Machine, "snapshot">,
  overrides: Overrides,
  options: MachineOptions,
): Promise<Machine> {
  using snapshot = await parent.snapshot({ base: true });
  checkShared(snapshot.state, overrides);
  const child = await Machine.restore(
    withoutMemoryFile(snapshot),
    overrides,
    options,
  );
  child.start();
  return child;
}
