/**
 * The process that runs inputs: one line `SEED` before each, and `! MESSAGE`
 * after one that went wrong. It may die or hang: `main.ts` watches it.
 *
 * Arguments: target, transport, first seed, seconds.
 *
 * @module
 */
import { runInput, type TransportName } from "./input.ts";
import { SUBJECTS } from "./subjects.ts";

const [target = "", transport = "", seed = "", seconds = ""] = Deno.args;
const encoder = new TextEncoder();

function say(line: string): void {
  Deno.stdout.writeSync(encoder.encode(`${line}\n`));
}

const end = performance.now() + 1000 * Number(seconds);
for (let next = Number(seed); performance.now() < end; next++) {
  say(`${next}`);
  try {
    runInput(SUBJECTS[target]!, transport as TransportName, next);
  } catch (error) {
    const text = error instanceof Error ? error.stack : undefined;
    say(`! ${(text ?? String(error)).replaceAll("\n", " | ")}`);
  }
}
