/**
 * For tests: a program of the host.
 *
 * @module
 */
import assert from "node:assert/strict";

/** Runs it to its end; returns what it prints, and fails if it does. */
export function run(program: string, ...args: string[]): Promise<string> {
  return runIn(undefined, program, ...args);
}

/** The same in a folder. */
export async function runIn(
  cwd: string | undefined,
  program: string,
  ...args: string[]
): Promise<string> {
  const deno = Deno.execPath();
  const bin = deno.slice(0, deno.lastIndexOf("/"));
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args,
    ...(cwd !== undefined && { cwd }),
    env: { PATH: `${bin}:${Deno.env.get("PATH")}` },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const said = `${text(stdout)}\n${text(stderr)}`;
  assert.ok(success, `${program} ${args.join(" ")}: ${said}`);
  return text(stdout);
}
