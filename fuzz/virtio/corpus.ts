/**
 * Inputs that once went wrong, one JSON file each: `fuzz_test.ts` runs them.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import type { TransportName } from "./input.ts";

/** An input. */
export interface SavedInput {
  /** A name of `SUBJECTS`. */
  target: string;
  /** How the driver reached the device. */
  transport: TransportName;
  /** The seed. */
  seed: number;
  /** What was wrong. */
  why?: string;
}

const FOLDER = fileURLToPath(new URL("corpus/", import.meta.url));

/** Keeps an input; the path of its file, from the project's folder. */
export function saveInput(input: SavedInput): string {
  const { target, transport, seed } = input;
  const name = `${target}-${transport}-${seed}.json`;
  Deno.mkdirSync(FOLDER, { recursive: true });
  Deno.writeTextFileSync(FOLDER + name, JSON.stringify(input, null, 2) + "\n");
  return `fuzz/virtio/corpus/${name}`;
}

/** All that were kept. */
export function savedInputs(): SavedInput[] {
  return [...Deno.readDirSync(FOLDER)]
    .filter(({ name }) => name.endsWith(".json"))
    .map(({ name }) => JSON.parse(Deno.readTextFileSync(FOLDER + name)));
}
