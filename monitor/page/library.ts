/**
 * The library that draws charts, for the browser: a program of its own
 * (`charts/main.ts`) downloads it, the first time.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";

const CONFIG = new URL("./charts/deno.json", import.meta.url).pathname;
const PROGRAM = new URL("./charts/main.ts", import.meta.url).href;

let library: Promise<Uint8Array<ArrayBuffer>> | undefined;

/**
 * The library, as a script.
 *
 * @throws {VireoError} it can't be had; it is tried again the next time
 */
export function chartLibrary(): Promise<Uint8Array<ArrayBuffer>> {
  library ??= load();
  library.catch(() => library = undefined);
  return library;
}

async function load(): Promise<Uint8Array<ArrayBuffer>> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", "--frozen", "--allow-read"],
      ...[`--config=${CONFIG}`, PROGRAM],
    ],
    stdin: "null",
  }).output();
  if (success) return stdout;
  const [line] = new TextDecoder().decode(stderr).trim().split("\n");
  throw new VireoError(`the charts' library: ${line}`);
}
