/**
 * For tests that run the command line, with the prepared Linux.
 *
 * @module
 */

/** The command line's module. */
export const MAIN: string = new URL("../../main.ts", import.meta.url).pathname;

/** A finished run of Vireo. */
export interface VireoResult {
  /** Its exit status. */
  code: number;
  /** What it printed. */
  stdout: string;
  /** What it said on standard error. */
  stderr: string;
}

/** Runs `vireo boot` with `input` as its standard input. */
export function boot(args: string[], input?: string): Promise<VireoResult> {
  return vireo(["boot", "--memory", "64M", ...args], input);
}

/** Starts a command of Vireo's; for the parameters, see {@linkcode vireo}. */
export function startVireo(
  args: string[],
  env: Record<string, string> = {},
  stdin: "null" | "piped" = "null",
): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", MAIN, ...args],
    stdin,
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1", ...env },
  }).spawn();
}

/**
 * Runs a command of Vireo's with `input` as its standard input.
 *
 * @param env variables besides those of the tests
 */
export async function vireo(
  args: string[],
  input?: string,
  env: Record<string, string> = {},
): Promise<VireoResult> {
  const stdin = input === undefined ? "null" : "piped";
  const child = startVireo(args, env, stdin);
  const ended = child.output(); // it may wait for its reader before it reads
  if (input !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(input));
    await writer.close();
  }
  const { code, stdout, stderr } = await ended;
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}
