/**
 * `--config-file`: a machine that is described by a file, and started at once.
 * Each part goes through its endpoint.
 *
 * @module
 */
import { readBody } from "./body/shape.ts";
import type { Api } from "./endpoints/endpoint.ts";
import { TABLE } from "./endpoints/table.ts";
import { ABORTED } from "./flags.ts";
import { fault, objection } from "./microvm/texts.ts";
import type { Process } from "./serving.ts";

/** Keys of the file, in the order that they are read in. */
const KEYS = [
  "logger",
  "metrics",
  "boot-source",
  "machine-config",
  "cpu-config",
  "drives",
  "network-interfaces",
  "mmds-config",
  "balloon",
  "vsock",
  "entropy",
  "pmem",
  "memory-hotplug",
] as const;

/** Endpoints of other names. */
const PLACES: Record<string, readonly [string, string]> = {
  "memory-hotplug": ["hotplug", "memory"],
  "mmds-config": ["mmds", "config"],
};

/** Those that have to be there. */
const REQUIRED: readonly string[] = ["boot-source", "drives"];

/** Starts the machine of the file, or ends the process. */
export async function loadFile(api: Api, process: Process): Promise<void> {
  const { flags, console, log } = process;
  if (flags.metadata !== undefined) await loadMetadata(api, process);
  if (flags.configFile === undefined) return;
  let text: string;
  try {
    text = Deno.readTextFileSync(flags.configFile);
  } catch (error) {
    const why = `Unable to open the configuration file: ${objection(error)}`;
    return await console.fail(why, ABORTED);
  }
  try {
    await apply(api, text);
    await api.vm.start();
  } catch (error) {
    const { message } = fault(
      "Configuration for VMM from one single json failed",
      error,
    );
    log.error(message);
    await console.fail(message, 1);
  }
}

async function loadMetadata(api: Api, { flags, console }: Process) {
  try {
    const text = Deno.readTextFileSync(flags.metadata!);
    await api.vm.setMetadata(JSON.parse(text));
  } catch (error) {
    const why = `Unable to read the metadata file: ${objection(error)}`;
    await console.fail(why, ABORTED);
  }
}

/**
 * Makes the machine what `text` describes.
 *
 * @throws {Fault} what is wrong with it
 */
export async function apply(api: Api, text: string): Promise<void> {
  const file = JSON.parse(text) as Record<string, unknown>;
  for (const key of REQUIRED) {
    if (file?.[key] === undefined) {
      throw new SyntaxError(`missing field \`${key}\``);
    }
  }
  for (const key of KEYS) {
    const given = file[key] ?? undefined;
    if (given === undefined) continue;
    const value = key === "cpu-config" && typeof given === "string"
      ? JSON.parse(Deno.readTextFileSync(given))
      : given;
    const [segment, rest] = PLACES[key] ?? [key];
    const endpoint = TABLE.find((row) =>
      row.method === "PUT" && row.segment === segment &&
      (rest === undefined || row.rest?.includes(rest))
    )!;
    for (const item of Array.isArray(value) ? value : [value]) {
      const bytes = new TextEncoder().encode(JSON.stringify(item));
      const body = readBody(bytes, endpoint.body!);
      await endpoint.run(api, body, "");
    }
  }
}
