/**
 * What `task test` was asked for.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { VireoError } from "../../ffi/error.ts";

/**
 * Tests that have a task of their own: those with peers, and those that need the
 * research kernel, which takes a quarter of an hour to build.
 */
export const SUITES = ["peers", "research"] as const;

/** Those, and all others. */
export type Suite = "own" | typeof SUITES[number];

/**
 * The suite that a file with tests belongs to.
 *
 * @param path such as `a_peer_test.ts`
 */
export function suiteOf(path: string): Suite {
  if (path.endsWith("_peer_test.ts")) return "peers";
  return path.endsWith("_research_test.ts") ? "research" : "own";
}

/** What to run, and how. */
export interface TestArguments {
  /** Files and folders; all of the project where empty. */
  paths: string[];
  /** The tests whose names it fits: part of a name, or `/an expression/`. */
  filter?: string;
  /** Which tests are meant, and no others. */
  suite: Suite;
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
    options: {
      filter: { type: "string" },
      peers: { type: "boolean" },
      research: { type: "boolean" },
    },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const result: TestArguments = { paths: [], suite: "own", others: [] };
  for (const token of tokens) {
    if (token.kind === "positional") result.paths.push(token.value);
    if (token.kind !== "option") continue;
    const { name, rawName, value } = token;
    const suite = SUITES.find((one) => one === name);
    if (suite) result.suite = suite;
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
