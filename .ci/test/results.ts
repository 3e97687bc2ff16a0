/**
 * What tests came to, out of the report in JUnit's format that `deno test`
 * writes.
 *
 * @module
 */

/** The program that reads reports, and the configuration that it runs with. */
const READER = new URL("junit/main.ts", import.meta.url).pathname;

/** How a test ended. */
export type Outcome = "passed" | "failed" | "ignored";

/** One test. */
export interface TestResult {
  /** Its name. */
  name: string;
  /** How it ended. */
  outcome: Outcome;
  /** How long it took. */
  seconds: number;
  /** Whether it is a step of another test. */
  isStep: boolean;
}

/** The tests of one file. */
export interface FileResult {
  /** Its path, from the project's folder on. */
  path: string;
  /** Its tests, and their steps. */
  tests: TestResult[];
}

/**
 * Reads a report.
 *
 * @param xml the report; nothing is in an empty one
 */
export async function readResults(xml: string): Promise<FileResult[]> {
  if (xml.trim() === "") return [];
  // A program of its own, because it has a package of its own.
  await using reader = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--frozen", READER],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const [, files] = await Promise.all([
    new Blob([xml]).stream().pipeTo(reader.stdin),
    new Response(reader.stdout).json(),
  ]);
  return files;
}
