/**
 * Programs whose output is wanted.
 *
 * @module
 */
import { VireoError } from "../../ffi/errno.ts";

/**
 * Runs a program and returns its standard output.
 *
 * @throws {VireoError} when there is no such program, or it fails, with its
 * last line of standard error
 */
export async function runBinary(
  program: string,
  args: readonly string[],
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const { success, stdout, stderr } = await new Deno.Command(program, {
      args: [...args],
      env: { LC_ALL: "C" },
      stdin: "null",
    }).output();
    if (success) return stdout;
    const last = new TextDecoder().decode(stderr).trim().split("\n").at(-1);
    throw new VireoError(`${program} ${args[0]}: ${last || "failed"}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new VireoError(`${program}: no such program`);
  }
}

/** The same as text. */
export async function runText(
  program: string,
  args: readonly string[],
): Promise<string> {
  return new TextDecoder().decode(await runBinary(program, args));
}
