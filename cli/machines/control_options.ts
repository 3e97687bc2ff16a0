/**
 * `--name` and `--no-control`, of whatever runs a machine.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { checkName } from "../../vmm/controller/name.ts";
import type { ControlOptions } from "../../vmm/machine_options.ts";

/**
 * What other processes see of a machine; undefined: nothing.
 *
 * @throws {VireoError} it can't have such a name
 */
export function parseControl(
  { name, control = true }: { name?: string; control?: boolean },
): ControlOptions | undefined {
  if (name !== undefined) checkName(name, "--name");
  if (!control && name !== undefined) {
    throw new VireoError("--name and --no-control exclude each other");
  }
  return control ? { name, command: ["vireo", ...Deno.args] } : undefined;
}
