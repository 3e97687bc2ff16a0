/** The control socket's language. */
import assert from "node:assert/strict";
import { answerTo, LINE_MAX, Lines } from "./requests.ts";
import { MockMachine } from "./testing/mock_machine.ts";

const encoder = new TextEncoder();

async function answer(machine: MockMachine, line: string): Promise<unknown> {
  const text = await answerTo(machine.controller, encoder.encode(line));
  assert.ok(!text.includes("\n"), text);
  return JSON.parse(text);
}

Deno.test("control requests: each method, its answer, and what the machine does", async () => {
  const machine = new MockMachine();
  const ask = (line: string) => answer(machine, line);
  const done = { result: null };
  assert.deepEqual(await ask('{"id":1,"method":"pause"}'), { id: 1, ...done });
  assert.equal(machine.controller.phase, "paused");
  const { result } = await ask('{"id":"x","method":"describe"}') as {
    result: Record<string, unknown>;
  };
  const { uptime, ...rest } = result;
  assert.ok(Number(uptime) >= 0);
  assert.deepEqual(rest, {
    pid: Deno.pid,
    ...{ name: "mock", command: ["mock"], cpus: 1, memory: 4096 },
    state: "paused",
  });
  assert.deepEqual(await ask('{"method":"resume","params":{}}'), done);
  assert.deepEqual(
    await ask('{"method":"snapshot","params":{"folder":"/a b"}}'),
    done,
  );
  assert.deepEqual(await ask('{"method":"gdb"}'), {
    result: { target: "/mock/gdb" },
  });
  assert.deepEqual(
    await ask('{"method":"dump","params":{"file":"/a core"}}'),
    done,
  );
  assert.deepEqual(await ask('{"id":2,"method":"power-button"}'), {
    id: 2,
    error: "no; power button", // in one line
  });
  assert.deepEqual(machine.asked, [
    ...["pause", "resume", "snapshot", "save /a b", "gdb", "dump /a core"],
    "power button",
  ]);
});

Deno.test("control requests: what is wrong is said in a line, and nothing happens", async () => {
  const machine = new MockMachine();
  const wrong: [line: string, error: RegExp][] = [
    ["", /^not a line of JSON$/],
    ["{", /^not a line of JSON$/],
    ["[]", /^a list is not an object$/],
    ["7", /^7 is not an object$/],
    ["{}", /^method: is missing$/],
    ['{"method":"pwer-button"}', /did you mean "power-button"\?$/],
    ['{"method":"toString"}', /^method: "toString" is not/],
    ['{"method":"__proto__"}', /^method: "__proto__" is not/],
    ['{"method":7}', /^method: 7 is not/],
    ['{"method":"pause","more":1}', /^more: unknown key/],
    ['{"method":"pause","params":[]}', /^params: a list is not an object$/],
    ['{"method":"pause","params":{"x":1}}', /^params\.x: unknown key/],
    ['{"method":"pause","id":{}}', /^id: an object is not a number or a text$/],
    ['{"method":"snapshot"}', /^params\.folder: is missing$/],
    [
      '{"method":"snapshot","params":{"folder":"a"}}',
      /^params\.folder: "a" is not an absolute path$/,
    ],
    [
      '{"method":"snapshot","params":{"folder":"/a\\u0000"}}',
      /is not an absolute path$/,
    ],
  ];
  for (const [line, error] of wrong) {
    const { error: found } = await answer(machine, line) as { error: string };
    assert.match(found, error, line);
  }
  const id = await answer(machine, '{"id":7,"method":"x"}') as { id: number };
  assert.equal(id.id, 7);
  const bytes = Uint8Array.of(0xff, 0xfe);
  assert.match(await answerTo(machine.controller, bytes), /not a line of JSON/);
  assert.deepEqual(machine.asked, []);
});

Deno.test("control requests: one after the other, and none once it has ended", async () => {
  const machine = new MockMachine();
  const gate = Promise.withResolvers<void>();
  machine.ready = gate.promise;
  const folder = '{"method":"snapshot","params":{"folder":"/s"}}';
  const all = [
    answer(machine, folder),
    answer(machine, '{"method":"pause"}'),
  ];
  await answer(machine, '{"method":"describe"}'); // which waits for nobody
  assert.deepEqual(machine.asked, ["snapshot"]);
  gate.resolve();
  await Promise.all(all);
  assert.deepEqual(machine.asked, ["snapshot", "save /s", "pause"]);
  machine.state = "ended";
  assert.deepEqual(await answer(machine, '{"method":"resume"}'), {
    error: "the machine has ended",
  });
});

Deno.test("control requests: bytes are cut into lines, and a line has an end", () => {
  const lines = new Lines();
  const put = (text: string) => {
    const bytes = encoder.encode(text);
    lines.room.set(bytes);
    lines.took(bytes.length);
  };
  const next = () => {
    const line = lines.next();
    return line && new TextDecoder().decode(line);
  };
  put("a\nbc");
  assert.deepEqual([next(), next()], ["a", undefined]);
  put("d\n\n");
  assert.deepEqual([next(), next(), next()], ["bcd", "", undefined]);
  put("x".repeat(LINE_MAX - 1));
  assert.equal(next(), undefined);
  assert.equal(lines.room.length, 1);
  put("x");
  assert.throws(next, { message: `a line has at most ${LINE_MAX - 1} bytes` });
});
