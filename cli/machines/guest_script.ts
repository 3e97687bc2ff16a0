/**
 * A script of `vireo cp` in the guest of another process's machine.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { GuestProcess } from "../../vmm/agent/mod.ts";
import { socketOf } from "../../vmm/controller/client.ts";
import { startCommand } from "../../vmm/controller/command.ts";
import { ended } from "../streams/signals.ts";
import { plain } from "../text.ts";

/** Characters that are kept of what a command says is wrong. */
const COMPLAINT = 1000;

/** Starts it, for the guest's shell, with words. A signal is its, too. */
export async function start(
  machine: string,
  script: string,
  ...words: string[]
): Promise<GuestProcess> {
  const command = ["sh", "-c", script, "sh", ...words];
  const path = await socketOf(machine);
  const process = await startCommand(path, { command });
  const stop = () => process.kill(); // the script cleans up
  if (ended.aborted) stop();
  ended.addEventListener("abort", stop);
  return process;
}

/** All that it says, but for what is too much. */
export async function textOf(
  stream: ReadableStream<Uint8Array>,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of stream) {
    if (text.length > COMPLAINT) continue;
    text += decoder.decode(bytes, { stream: true });
  }
  return text;
}

/** @throws {VireoError} it has failed, and `said` why */
export async function ending(
  process: GuestProcess,
  said: string,
): Promise<void> {
  const { success, code } = await process.status;
  if (success) return;
  const [line] = plain(said).trim().split("\n");
  throw new VireoError(`cp: ${line || `exit status ${code}`}`);
}

/**
 * Gives it what `source` has. If that fails, the script is told to clean up;
 * what fails in the guest, the script says.
 *
 * @returns when the script has ended: throws that `source` has failed
 */
export function feed(
  process: GuestProcess,
  source: AsyncIterable<Uint8Array>,
): () => void {
  let failure: VireoError | undefined;
  const wrong = (cause: unknown) =>
    new VireoError(`cp: ${(cause as Error).message}`, { cause });
  async function* watched() {
    try {
      yield* source;
    } catch (error) {
      failure = wrong(error);
      process.kill();
      throw error;
    }
  }
  ReadableStream.from(watched())
    .pipeTo(process.stdin, { preventAbort: true })
    .catch((error) => failure ?? process.abandon(wrong(error)));
  return () => {
    if (failure !== undefined) throw failure;
  };
}
