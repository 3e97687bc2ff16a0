/**
 * Reads a configuration file, in the format of Firecracker's `--config-file`.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { VmConfig } from "./types.ts";
import { networkConflict } from "./types.ts";
import { CONFIG_FILE } from "./keys.ts";
import type { Problem } from "./schema/rule.ts";
import { jsonError } from "./schema/json_syntax.ts";

/**
 * The machine that a file describes. Relative paths in it are relative to the
 * working directory, as Firecracker has it.
 *
 * @throws {VireoError} each problem in a line, with the path of its key
 */
export async function readConfigFile(path: string): Promise<VmConfig> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw new VireoError(`configuration "${path}": ${reason(error)}`);
  }
  return parseConfig(text, path);
}

/**
 * The machine that `text` describes.
 *
 * @param name names the text in messages
 * @throws {VireoError} each problem in a line, with the path of its key
 */
export function parseConfig(text: string, name: string): VmConfig {
  const error = jsonError(text);
  if (error !== undefined) {
    const { line, column, text } = error;
    throw new VireoError(`${name}:${line}:${column}: ${text}`);
  }
  const problems: Problem[] = [];
  const config = CONFIG_FILE.read(JSON.parse(text), "", problems);
  if (config && problems.length === 0) problems.push(...conflicts(config));
  if (config && problems.length === 0) return config;
  throw new VireoError(
    problems.map(({ path, text }) =>
      `${name}: ${path ? `${path}: ` : ""}${text}`
    )
      .join("\n"),
  );
}

/** Keys that are right alone, but not together. */
function conflicts(config: VmConfig): Problem[] {
  const drives = config.drives ?? [];
  const networks = config["network-interfaces"] ?? [];
  const { vcpu_count = 1, smt } = config["machine-config"] ?? {};
  const problems = [
    ...twice("drives", "drive_id", drives.map((drive) => drive.drive_id)),
    ...twice(
      "network-interfaces",
      "iface_id",
      networks.map((network) => network.iface_id),
    ),
  ];
  networks.forEach((network, index) => {
    const text = networkConflict(network);
    const path = `network-interfaces[${index}]`;
    if (text !== undefined) problems.push({ path, text });
  });
  if (smt && vcpu_count > 1 && vcpu_count % 2 !== 0) {
    const text = `${vcpu_count} is neither 1 nor even, as smt wants it`;
    problems.push({ path: "machine-config.vcpu_count", text });
  }
  const isRoot = drives.map((drive) => drive.is_root_device);
  const [first, second] = [isRoot.indexOf(true), isRoot.lastIndexOf(true)];
  if (first !== second) {
    const text = `drives[${first}] is the root device already`;
    problems.push({ path: `drives[${second}].is_root_device`, text });
  }
  return problems;
}

function twice(list: string, key: string, ids: readonly string[]): Problem[] {
  return ids.flatMap((id, index) => {
    const first = ids.indexOf(id);
    if (first === index) return [];
    const text = `"${id}" is that of ${list}[${first}] already`;
    return [{ path: `${list}[${index}].${key}`, text }];
  });
}

function reason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such file";
  if (error instanceof Deno.errors.NotCapable) throw error;
  return error instanceof Error ? error.message : String(error);
}
