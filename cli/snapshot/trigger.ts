/**
 * Saves a machine the first time that its console shows a text.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { Machine } from "../../vmm/machine.ts";

/** When to save a machine, and where. */
export interface SnapshotOptions {
  /** What the console shows then. */
  text: string;
  /** The snapshot's folder. */
  folder: string;
}

/**
 * Both options, or neither.
 *
 * @throws {VireoError} one without the other, or an empty text
 */
export function parseSnapshot(
  { snapshot, snapshotOn }: { snapshot?: string; snapshotOn?: string },
): SnapshotOptions | undefined {
  if (snapshot === undefined && snapshotOn === undefined) return undefined;
  if (!snapshot || !snapshotOn) {
    throw new VireoError(
      "--snapshot FOLDER and --snapshot-on TEXT belong together: where the " +
        "machine is saved, and what its console shows then",
    );
  }
  return { folder: snapshot, text: snapshotOn };
}

/** Watches one machine's console. */
export class SnapshotTrigger {
  readonly #options: SnapshotOptions;
  readonly #say: (line: string) => void;
  readonly #decoder = new TextDecoder();
  #shown = "";
  #done = false;

  /** `say` tells the user how it went. */
  constructor(options: SnapshotOptions, say: (line: string) => void) {
    this.#options = options;
    this.#say = say;
  }

  /** The console has shown this. */
  heard(bytes: Uint8Array, machine: Machine): void {
    if (this.#done) return;
    const { text } = this.#options;
    const shown = this.#shown + this.#decoder.decode(bytes, { stream: true });
    this.#done = shown.includes(text);
    this.#shown = shown.slice(-text.length);
    if (this.#done) void this.#save(machine);
  }

  async #save(machine: Machine): Promise<void> {
    const { folder } = this.#options;
    try {
      using snapshot = await machine.snapshot();
      snapshot.save(folder);
      this.#say(`saved in ${folder}; it goes on with: vireo restore ${folder}`);
    } catch (error) {
      if (!(error instanceof VireoError)) throw error;
      this.#say(error.message);
    }
  }
}
