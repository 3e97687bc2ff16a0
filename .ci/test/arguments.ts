/**
 * What `task test` was asked for.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { VireoError } from "../../ffi/error.ts";

/** What to run, and how. */
export interface TestArguments {
  /** Files and folders; all of the project where empty. */
  paths: string[];
  /** The tests whose names it fits: part of a name, or `/an expression/`. */
  filter?: string;
  /** Whether the tests with peers are meant, and no others. */
  peers: boolean;
  /** Other options, which go on to `deno test`. */
  others: string[];
}

/**
 * Reads the command line. What it doesn't know is `deno test`'s.
 *
 * @param args the words after `task test`
 * @throws {VireoError} when an option lacks its value
 */
export function readArguments(args: readonly string[]): TestArguments {
  const { tokens } = parseArgs({
    args: [...args],
    options: { filter: { type: "string" }, peers: { type: "boolean" } },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const result: TestArguments = { paths: [], peers: false, others: [] };
  for (const token of tokens) {
    if (token.kind === "positional") result.paths.push(token.value);
    if (token.kind !== "option") continue;
    const { name, rawName, value } = token;
    if (name === "peers") result.peers = true;
    else if (name !== "filter") {
      result.others.push(value === undefined ? rawName : `${rawName}=${value}`);
    } else if (value === undefined) {
      throw new VireoError("--filter: a part of a name is missing");
    } else result.filter = value;
  }
  return result;
}

/**
 * Whether `deno test --filter` would take a test.
 *
 * @param name of the test
 * @param filter part of a name, or `/an expression/`
 */
export function fits(name: string, filter: string | undefined): boolean {
  if (filter === undefined) return true;
  const expression = /^\/(.*)\/$/s.exec(filter)?.[1];
  if (expression === undefined) return name.includes(filter);
  return new RegExp(expression).test(name);
}
