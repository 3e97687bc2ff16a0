/**
 * Notes which tests files register, and what these need: loads each file with a
 * `Deno.test` that runs nothing, and prints one line of JSON.
 *
 * @module
 */
import type { NeedingTest } from "../../ffi/testing/needs.ts";

/** A test, as its file registers it. */
export interface RecordedTest {
  /** Its name. */
  name: string;
  /** Names of programs that it calls. */
  programs: string[];
  /** What has to be prepared for it. */
  prepared: string[];
  /** It needs a process of its own. */
  alone: boolean;
}

type Definition = Partial<NeedingTest>;
type Registration = [
  string | Definition | (() => void),
  (Definition | (() => void))?,
];

let tests: RecordedTest[] = [];

/** Takes every form that Deno.test takes. */
function note(...[first, second]: Registration): void {
  const definition: Definition = {
    ...(typeof first === "object" ? first : {}),
    ...(typeof second === "object" ? second : {}),
  };
  const name = typeof first === "string"
    ? first
    : typeof first === "function"
    ? first.name
    : first.name ?? first.fn?.name ?? "";
  const needs = definition.needs ?? [];
  tests.push({
    name,
    programs: needs.flatMap(({ programs }) => programs ?? []),
    prepared: needs.flatMap(({ prepared }) => prepared ?? []),
    alone: needs.some(({ alone }) => alone),
  });
}

if (import.meta.main) {
  const nothing = () => {};
  const hooks = {
    beforeAll: nothing,
    beforeEach: nothing,
    afterAll: nothing,
    afterEach: nothing,
  };
  const stub = Object.assign(note, { ignore: note, only: note }, hooks);
  Object.defineProperty(Deno, "test", { value: stub });
  const found: Record<string, RecordedTest[]> = {};
  for (const path of Deno.args) {
    tests = [];
    await import(`file://${Deno.cwd()}/${path}`);
    found[path] = tests;
  }
  console.log(JSON.stringify(found));
  Deno.exit(0); // whatever a file has left running
}
