/**
 * `vireo run`: the machine that a configuration file describes.
 *
 * @module
 */
import { readConfigFile } from "../vmm/config/file.ts";
import { resolve } from "../vmm/config/resolve.ts";
import { makeNonce } from "./exec.ts";
import { addHostCmdline } from "./kernel_quirks.ts";
import { Session } from "./session.ts";

/**
 * Runs the machine of a file, with its console on standard input and output.
 *
 * @param path the file's
 * @returns the exit status
 * @throws {VireoError} when the file is wrong, or the machine can't be made
 */
export async function run(path: string): Promise<number> {
  const config = await readConfigFile(path);
  const note = await addHostCmdline(config);
  return await new Session(makeNonce(), { note }).run(resolve(config));
}
