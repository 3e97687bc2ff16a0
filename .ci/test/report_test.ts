import assert from "node:assert/strict";
import { count, reasons, slowest, summary } from "./report.ts";
import { type FileResult, ReportReader } from "./results.ts";

const XML = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="6" failures="1" errors="0" time="2.5">
    <testsuite name="./ffi/a_test.ts" tests="6" disabled="3" failures="1">
        <testcase name="a &lt;b&gt; &amp; c" classname="./ffi/a_test.ts" time="1.500">
        </testcase>
        <testcase name="x [ignored: needs &quot;root&quot;]" time="0.000">
            <skipped/>
        </testcase>
        <testcase name="filtered out">
            <skipped/>
        </testcase>
        <testcase name="fails" time="61.000">
            <failure message="m">Error: no</failure>
        </testcase>
        <testcase name="a &lt;b&gt; &amp; c &gt; one step" time="0.100">
        </testcase>
        <testcase name="a &lt;b&gt; &amp; c &gt; no step [ignored: needs &quot;root&quot;]" time="0.000">
            <skipped/>
        </testcase>
    </testsuite>
</testsuites>`;

async function read(...reports: string[]): Promise<FileResult[][]> {
  await using reader = new ReportReader();
  return await Promise.all(reports.map((report) => reader.read(report)));
}

const [FILES, NONE, AGAIN] = await read(XML, "", XML);
assert.ok(FILES);

Deno.test("task test: tests and steps are counted apart, what is filtered out not at all", () => {
  assert.deepEqual(count(FILES), {
    tests: { passed: 1, failed: 1, ignored: 1 },
    steps: { passed: 1, failed: 0, ignored: 1 },
  });
  assert.deepEqual(NONE, []);
  assert.deepEqual(AGAIN, FILES);
});

Deno.test("task test: the sums are written as deno test writes them", () => {
  const counts = count(FILES);
  assert.equal(
    summary(counts, false, 62.4),
    "FAILED | 1 passed (1 step) | 1 failed | 1 ignored (1 step) (1m2s)",
  );
  const none = { passed: 3, failed: 0, ignored: 0 };
  assert.equal(
    summary({ tests: none, steps: { ...none, passed: 0 } }, true, 9.6),
    "ok | 3 passed | 0 failed (10s)",
  );
});

Deno.test("task test: ignored tests are told by their reason, slow ones by name", () => {
  assert.deepEqual(reasons(FILES), ['   2  needs "root"']);
  assert.deepEqual(slowest(FILES), [
    "  61.0 s  ffi/a_test.ts: fails",
    "   1.5 s  ffi/a_test.ts: a <b> & c",
  ]);
});
