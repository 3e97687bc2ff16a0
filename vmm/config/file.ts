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
  return parseConfig(await readText(path), path);
}

/**
 * The text of a file of JSON.
 *
 * @throws {VireoError} there is none, or where it is none, by line and column
 */
export async function readJsonFile(path: string): Promise<string> {
  const text = await readText(path);
  checkJson(text, path);
  return text;
}

async function readText(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    throw new VireoError(`configuration "${path}": ${reason(error)}`);
  }
}

/**
 * The machine that `text` describes.
 *
 * @param name names the text in messages
 * @throws {VireoError} each problem in a line, with the path of its key
 */
export function parseConfig(text: string, name: string): VmConfig {
  checkJson(text, name);
  const { config, findings } = check(JSON.parse(text));
  if (config && findings.length === 0) return config;
  throw new VireoError(report(findings, name));
}

function checkJson(text: string, name: string): void {
  const error = jsonError(text);
  if (error === undefined) return;
  const { line, column, text: what } = error;
  throw new VireoError(`${name}:${line}:${column}: ${what}`);
}

function reason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such file";
  if (error instanceof Deno.errors.NotCapable) throw error;
  return error instanceof Error ? error.message : String(error);
}
