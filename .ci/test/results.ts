/**
 * What tests came to, out of the report in JUnit's format that `deno test`
 * writes.
 *
 * @module
 */
import { DOMParser, type Element } from "npm:@xmldom/xmldom@^0.9.8";

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
export function readResults(xml: string): FileResult[] {
  if (xml.trim() === "") return [];
  const report = new DOMParser().parseFromString(xml, "text/xml");
  return [...report.getElementsByTagName("testsuite")].map((suite) => {
    // What a filter has left out is in the report, but has no time.
    const cases = [...suite.getElementsByTagName("testcase")]
      .filter((one) => one.hasAttribute("time"));
    const names = new Set(cases.map((one) => one.getAttribute("name")));
    return {
      path: (suite.getAttribute("name") ?? "").replace(/^\.\//, ""),
      tests: cases.map((one) => {
        const name = one.getAttribute("name") ?? "";
        const outcome = outcomeOf(one);
        const seconds = Number(one.getAttribute("time"));
        return { name, outcome, seconds, isStep: isStepOf(names, name) };
      }),
    };
  });
}

function outcomeOf(testcase: Element): Outcome {
  const has = (tag: string) => testcase.getElementsByTagName(tag).length > 0;
  if (has("failure")) return "failed";
  return has("skipped") ? "ignored" : "passed";
}

/** A step is called by its test's name, ` > `, and its own. */
function isStepOf(names: ReadonlySet<string | null>, name: string): boolean {
  for (
    let at = name.indexOf(" > ");
    at >= 0;
    at = name.indexOf(" > ", at + 1)
  ) {
    if (names.has(name.slice(0, at))) return true;
  }
  return false;
}
