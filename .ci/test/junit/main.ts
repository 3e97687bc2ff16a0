/**
 * Reads reports of tests in JUnit's format from standard input, each a JSON
 * string in a line of its own, and prints what it says as a line of JSON.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { DOMParser, type Element } from "@xmldom/xmldom";
import type { FileResult, Outcome } from "../results.ts";

function read(xml: string): FileResult[] {
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

if (import.meta.main) {
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(read(JSON.parse(line))));
  }
}
