/**
 * What is told at the end of a run: what failed, what was ignored and why,
 * what took longest, and the sums.
 *
 * @module
 */
import { ignoredBecause } from "../../ffi/testing/needs.ts";
import type { FileResult, Outcome, TestResult } from "./results.ts";

/** So many of the slowest tests are told. */
const SLOWEST = 20;
/** What takes less is not slow. */
const SLOW_SECONDS = 1;

/** Numbers of tests, and of their steps. */
export interface Counts {
  /** Tests by how they ended. */
  tests: Record<Outcome, number>;
  /** Steps by how they ended. */
  steps: Record<Outcome, number>;
}

/**
 * Counts tests.
 *
 * @param files all results
 */
export function count(files: readonly FileResult[]): Counts {
  const none = () => ({ passed: 0, failed: 0, ignored: 0 });
  const counts: Counts = { tests: none(), steps: none() };
  for (const { outcome, isStep } of files.flatMap(({ tests }) => tests)) {
    counts[isStep ? "steps" : "tests"][outcome]++;
  }
  return counts;
}

/**
 * How long tests took, in seconds; steps are in their tests.
 *
 * @param tests the tests of a file
 */
export function secondsOf(tests: readonly TestResult[]): number {
  return tests.filter(({ isStep }) => !isStep)
    .reduce((sum, { seconds }) => sum + seconds, 0);
}

/**
 * The sums, as `deno test` writes them.
 *
 * @param counts numbers of tests
 * @param ok whether all is well
 * @param seconds how long all of it took
 */
export function summary(
  { tests, steps }: Counts,
  ok: boolean,
  seconds: number,
): string {
  const part = (outcome: Outcome) => {
    const inside = steps[outcome];
    const extra = inside > 0 ? ` (${inside} step${inside > 1 ? "s" : ""})` : "";
    return `${tests[outcome]} ${outcome}${extra}`;
  };
  const parts = [part("passed"), part("failed")];
  if (tests.ignored + steps.ignored > 0) parts.push(part("ignored"));
  const minutes = Math.floor(seconds / 60);
  const time = minutes > 0
    ? `${minutes}m${Math.round(seconds - 60 * minutes)}s`
    : `${Math.round(seconds)}s`;
  return `${ok ? "ok" : "FAILED"} | ${parts.join(" | ")} (${time})`;
}

/**
 * The slowest tests, a line each; steps are in their tests.
 *
 * @param files all results
 */
export function slowest(files: readonly FileResult[]): string[] {
  const all = files.flatMap(({ path, tests }) =>
    tests.filter(({ isStep }) => !isStep).map((test) => ({ path, ...test }))
  );
  return all.filter(({ seconds }) => seconds >= SLOW_SECONDS)
    .sort((a, b) => b.seconds - a.seconds).slice(0, SLOWEST)
    .map(({ path, name, seconds }) =>
      `${seconds.toFixed(1).padStart(6)} s  ${path}: ${name}`
    );
}

/**
 * The tests that failed, and their steps, a line each.
 *
 * @param files all results
 */
export function failures(files: readonly FileResult[]): string[] {
  return files.flatMap(({ path, tests }) =>
    tests.filter(({ outcome }) => outcome === "failed")
      .map(({ name }) => `${path}: ${name}`)
  );
}

/**
 * The reasons for which tests were ignored, with how many there are of each.
 *
 * @param files all results
 */
export function reasons(files: readonly FileResult[]): string[] {
  const counts = new Map<string, number>();
  for (const { name, outcome } of files.flatMap(({ tests }) => tests)) {
    if (outcome !== "ignored") continue;
    const reason = ignoredBecause(name) ?? `no reason is given: ${name}`;
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  return [...counts].sort(([, a], [, b]) => b - a)
    .map(([reason, many]) => `${String(many).padStart(4)}  ${reason}`);
}
