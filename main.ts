/**
 * The command line: `vireo boot`, `vireo run`, `vireo demo`, `vireo prepare`.
 *
 * @module
 */
// Only what needs no permission, and all commands do.
import { runDirectly } from "./cli/direct.ts";
import { foldEvents } from "./cli/snapshot/event_words.ts";
import { standardError } from "./cli/streams/output.ts";
import { leave, settleSignals } from "./cli/streams/signals.ts";
import { VireoError } from "./ffi/error.ts";

async function run(args: readonly string[]): Promise<number | undefined> {
  const status = await runDirectly(args);
  if (status !== undefined) return status;
  // A literal, which is read before: whatever is said needs no permission.
  const { runProgram } = await import("./cli/program/mod.ts");
  return await runProgram(args);
}

/** What to tell the user about a failure. */
function explain(error: unknown): string {
  if (error instanceof VireoError) return error.message;
  if (error instanceof Deno.errors.NotCapable) {
    return `${error.message.split(",")[0]}: run it with "deno run -A"`;
  }
  // What the host refuses is no fault of these sources: it gets no stack.
  if (error instanceof Error && "code" in error && `${error.code}`[0] === "E") {
    return error.message;
  }
  throw error;
}

if (import.meta.main) {
  await settleSignals();
  try {
    const status = await run(foldEvents(Deno.args));
    if (status !== undefined) Deno.exitCode = status;
  } catch (error) {
    standardError.print(`vireo: ${explain(error)}`);
    Deno.exitCode = 1;
  }
  await leave(Deno.exitCode);
}
