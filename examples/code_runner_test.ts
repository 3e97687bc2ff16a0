/** The code runner: each script alone, within its limits. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { LINUX } from "../images/testing/prepared.ts";
import { serve, type ServerOptions } from "./code_runner/server.ts";
import { type ScriptEnd, warmUp } from "./code_runner/warm_guest.ts";

const OPTIONS: ServerOptions = {
  token: "secret",
  port: 0,
  milliseconds: 600_000,
  output: 1000,
  body: 1000,
  machines: 2,
  waiting: 1,
};
/** Sends a request. */
type Send = (init: RequestInit) => Promise<Response>;
/** Sends a script, and reads all of the answer. */
type Run = (script: string) => Promise<Answer>;
type Answer = { output: string } & Pick<ScriptEnd, "status" | "reason">;

const HEADERS = {
  "authorization": "Bearer secret",
  "content-type": "application/json",
};

Deno.test(needing([KVM, LINUX], {
  name: "code runner: a script has a machine of its own, and its limits",
  async fn(t) {
    using warm = await warmUp(64);
    await using pool = await warm.pool(1);
    const step = (
      name: string,
      change: Partial<ServerOptions>,
      fn: (send: Send, script: Run) => Promise<void>,
    ) =>
      t.step(name, async () => {
        const ending = new AbortController();
        const options = { ...OPTIONS, ...change };
        const server = serve(pool, options, ending.signal);
        const url = `http://127.0.0.1:${server.addr.port}`;
        await fn(
          (init) => fetch(url, { method: "POST", headers: HEADERS, ...init }),
          (script) => run(script, url),
        );
        ending.abort();
        await server.finished;
      });

    await step("output and status, as they come", {}, async (_, script) => {
      assert.deepEqual(
        await script(
          "for i in 1 2; do echo $i; done; read a <<E\nä\nE\necho $a; exit 3",
        ),
        { output: "1\n2\nä\n", status: 3 },
      );
      assert.deepEqual(await script("false"), { output: "", status: 1 });
    });

    await step("no script sees another's", {}, async (_, script) => {
      const leaves = "echo mine > /tmp/left; echo /tmp/*";
      assert.match((await script(leaves)).output, /left/);
      assert.doesNotMatch((await script("echo /tmp/*")).output, /left/);
    });

    await step("no network, no disk", {}, async (_, script) => {
      const tries = "cd /sys/class/net; echo *; " +
        "dd if=/dev/zero of=/dev/vda count=1; " +
        "echo no > /etc/hostname";
      const { output, status } = await script(tries);
      assert.match(output, /^lo\n/);
      assert.match(output, /vda.*(Read-only|not permitted)[^]*Read-only file/);
      assert.equal(status, 1);
    });

    await step("limits of time and output", { milliseconds: 3000 }, async (
      _,
      script,
    ) => {
      assert.equal((await script("sleep 1000")).reason, "time");
      const long = "yes".repeat(50); // few turns: each is dear
      const { output, reason } = await script(`while :; do echo ${long}; done`);
      assert.ok(output.length <= OPTIONS.output);
      assert.match(reason!, /time|output/); // a loaded host isn't that quick
    });

    await step("output that is too long", { output: 100 }, async (
      _,
      script,
    ) => {
      const { output, reason } = await script("while :; do echo yes; done");
      assert.deepEqual([output.length, reason], [100, "output"]);
    });

    await step("places: two run, one waits, a fourth is refused", {}, async (
      send,
    ) => {
      const body = JSON.stringify({ script: "sleep 1000" });
      const gone = new AbortController();
      const { signal } = gone;
      const running = [await send({ body, signal })];
      running.push(await send({ body, signal }));
      // In any order: one of them waits.
      const refused = Promise.withResolvers<void>();
      const statuses: number[] = [];
      const more = [1, 2, 3].map(async () => {
        const response = await send({ body, signal });
        await response.text();
        if (statuses.push(response.status) === 2) refused.resolve();
      });
      await refused.promise;
      assert.deepEqual(statuses, [503, 503]);
      gone.abort(); // stops them all
      for (const { body } of running) await body?.cancel().catch(() => {});
      const ends = await Promise.allSettled(more);
      assert.equal(ends.filter((end) => end.status === "rejected").length, 1);
    });

    await step("what is refused, and how", {}, async (send) => {
      const good = JSON.stringify({ script: "true" });
      const cases: [number, RequestInit][] = [
        [405, { method: "PUT", body: good }],
        [401, { headers: { ...HEADERS, authorization: "Bearer x" } }],
        [401, { headers: { "content-type": "application/json" } }],
        [415, { headers: { ...HEADERS, "content-type": "text/plain" } }],
        [413, { body: " ".repeat(1001) }],
        [400, { body: "{" }],
        [400, { body: "null" }],
        [400, { body: JSON.stringify({ script: 1 }) }],
        [400, { body: JSON.stringify({ script: "a\0" }) }],
      ];
      for (const [status, init] of cases) {
        const response = await send({ body: good, ...init });
        const text = await response.text();
        assert.equal(response.status, status, text);
      }
    });
  },
}));

async function run(script: string, url: string): Promise<Answer> {
  const response = await fetch(url, {
    method: "POST",
    headers: HEADERS,
    body: JSON.stringify({ script }),
  });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  const lines = text.trim().split("\n").map((line) => JSON.parse(line));
  const output = lines.map((line) => line.output ?? "").join("");
  const { milliseconds, ...end } = lines.at(-1);
  assert.ok(milliseconds > 0);
  return { output, ...end };
}
