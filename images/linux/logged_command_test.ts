import assert from "node:assert/strict";
import { VireoError } from "../../ffi/errno.ts";
import { CommandLog, type LoggedOptions, runLogged } from "./logged_command.ts";

/** Runs shell commands; returns the log and the error. */
async function run(
  commands: string,
  options?: LoggedOptions,
): Promise<{ log: string; error: unknown; path: string }> {
  const path = await Deno.makeTempFile();
  try {
    using log = new CommandLog(path);
    const error = await runLogged(log, ["sh", "-c", commands], options)
      .catch((error) => error);
    return { log: await Deno.readTextFile(path), error, path };
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("logged command: the log has the command, its output and its errors", async () => {
  const { log, error } = await run("echo one; echo two >&2");
  assert.equal(error, undefined);
  assert(log.startsWith("$ sh -c echo one"));
  assert.match(log, /^one$/m);
  assert.match(log, /^two$/m);
});

Deno.test("logged command: each line is passed on, the last one without an end too", async () => {
  const lines: string[] = [];
  await run("printf 'a\\nb\\nc'", { onLine: (line) => void lines.push(line) });
  assert.deepEqual(lines, ["a", "b", "c"]);
});

Deno.test("logged command: a failure names the log and quotes its end", async () => {
  const { error, path } = await run("seq 20; exit 3");
  assert(error instanceof VireoError);
  const [first, ...rest] = error.message.split("\n");
  assert.equal(first, `sh failed; all of its output is in ${path}`);
  assert.deepEqual(rest.map(Number), [13, 14, 15, 16, 17, 18, 19, 20]);
});

Deno.test("logged command: a program that is not there is named", async () => {
  const path = await Deno.makeTempFile();
  using log = new CommandLog(path);
  await assert.rejects(
    runLogged(log, ["no-such-program-here"]),
    { message: "no-such-program-here: no such program" },
  );
  await Deno.remove(path);
});
