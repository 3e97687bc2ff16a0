/**
 * `vireo run`: the machine that a configuration file describes.
 *
 * @module
 */
import { MACHINE_DESCRIPTORS, needDescriptors } from "../ffi/descriptors.ts";
import { VireoError } from "../ffi/error.ts";
import { readConfigFile } from "../vmm/config/file.ts";
import { resolve } from "../vmm/config/resolve.ts";
import { makeNonce } from "./exec.ts";
import { parseTimeout } from "./options.ts";
import { addHostCmdline } from "./kernel_quirks.ts";
import { parseControl } from "./machines/control_options.ts";
import { Session } from "./session.ts";
import { parseSnapshots, rendezvousFolders } from "./snapshot/trigger.ts";

/** The command line of `vireo run`, as words. */
export interface RunOptions {
  /** The file's path; it has to be there. */
  config?: string;
  /** Seconds until the machine is ended: `60`. */
  timeout?: string;
  /** What the machine is called. */
  name?: string;
  /** It has a control socket. */
  control?: boolean;
  /** When to save the machine, and where. */
  snapshotOn?: string[];
}

/**
 * Runs the machine of a file, with its console on standard input and output.
 *
 * @returns the exit status
 * @throws {VireoError} when the file is wrong, or the machine can't be made
 */
export async function run(options: RunOptions): Promise<number> {
  const timeout = parseTimeout(options.timeout);
  const snapshots = parseSnapshots(options);
  rendezvousFolders(snapshots, false);
  const control = parseControl(options);
  needDescriptors(MACHINE_DESCRIPTORS, "a machine");
  if (options.config === undefined) {
    throw new VireoError("required option '--config <file>' not specified");
  }
  const config = await readConfigFile(options.config);
  const note = await addHostCmdline(config);
  const session = new Session(makeNonce(), {
    ...{ note, timeout, snapshots, control },
    detached: true,
  });
  return await session.run(resolve(config));
}
