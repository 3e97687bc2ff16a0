/**
 * Reads a configuration file, in the format of Firecracker's `--config-file`.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { VmConfig } from "./types.ts";
import { check } from "./check.ts";
import { report } from "./schema/report.ts";
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
  const { config, findings } = check(JSON.parse(text));
  if (config && findings.length === 0) return config;
  throw new VireoError(report(findings, name));
}

function reason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such file";
  if (error instanceof Deno.errors.NotCapable) throw error;
  return error instanceof Error ? error.message : String(error);
}
