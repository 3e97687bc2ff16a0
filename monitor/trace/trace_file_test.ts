/** Traces as files: the format's rules, their bounds, and their sums. */
import assert from "node:assert/strict";
import type { TraceEvent } from "../../vmm/trace/events.ts";
import { ChromeTrace, FIRST_LINE } from "./chrome.ts";
import { parseTraceFile, TraceFile } from "./file.ts";
import { summarise } from "./summary.ts";

interface Line {
  ph: string;
  cat?: string;
  name: string;
  pid: number;
  tid: number;
  ts: number;
  dur: number;
  id?: number;
  args?: Record<string, unknown>;
}

const US = 1000;
const on = { device: "d0", queue: 0 };
const request = (time: number, duration: number, doorbell?: number) =>
  ({
    ...{ type: "request", number: 0, ...on, request: "read", doorbell },
    ...{ time: time * US, duration: duration * US, sector: 8, bytes: 4096 },
    status: 0,
  }) as TraceEvent;
const moment = (type: "doorbell" | "interrupt", time: number) =>
  ({ type, number: 0, time: time * US, ...on }) as TraceEvent;

const EVENTS: TraceEvent[] = [
  {
    ...{ type: "exit", number: 0, vcpu: 1, time: 5 * US, duration: 3 * US },
    ...{
      reason: "mmio",
      device: "d0",
      register: "Status",
      address: 0xc0001070,
    },
    ...{ size: 4, write: true, value: 15, count: 1 },
  },
  moment("doorbell", 10),
  request(11, 4, 10 * US),
  request(11, 9, 10 * US),
  request(16, 5),
  moment("interrupt", 22),
  {
    type: "own",
    number: 0,
    time: 30 * US,
    device: 'a"\n',
    name: "<b>",
    value: 1,
  },
  { type: "lost", number: 0, time: 31 * US, thread: "vcpu 1", count: 7 },
];

function linesOf(events: readonly TraceEvent[]): Line[] {
  return JSON.parse(`${FIRST_LINE}${new ChromeTrace().add(events)}\n]`);
}

/** Does `fn` with the path of a file that is not there yet. */
async function withPath(fn: (path: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  try {
    await fn(`${folder}/t.json`);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** A file of these batches, written to its end. */
async function written(
  text: string,
  batches: TraceEvent[][],
): Promise<string[]> {
  const said: string[] = [];
  await using file = new TraceFile(
    parseTraceFile(text),
    (line) => said.push(line),
  );
  await file.follow({
    async traceBatches() {
      await Promise.resolve();
      return (async function* () {
        yield* batches;
      })();
    },
  });
  return said;
}

Deno.test("trace file: each event has what the format asks for, in its row", () => {
  const lines = linesOf(EVENTS);
  for (const line of lines) {
    assert.match(line.ph, /^[XiMstf]$/);
    assert.ok(Number.isInteger(line.pid) && Number.isInteger(line.tid));
    if (line.ph === "M") continue;
    assert.ok(line.ts > 0, JSON.stringify(line));
    if (line.ph === "X") assert.ok(line.dur >= 0);
    if ("stf".includes(line.ph)) assert.ok(line.id! > 0);
  }
  const rows = new Map(
    lines.filter(({ name }) => name === "thread_name")
      .map(({ pid, tid, args }) => [`${pid} ${tid}`, args!.name]),
  );
  const processes = new Map(
    lines.filter(({ name }) => name === "process_name")
      .map(({ pid, args }) => [pid, args!.name]),
  );
  for (const { ph, pid, tid } of lines) {
    if (ph !== "M") assert.ok(rows.has(`${pid} ${tid}`), `${pid} ${tid}`);
  }
  assert.deepEqual([...processes.values()], ["vCPUs", "d0", 'a"\n']);
  const exit = lines.find(({ cat }) => cat === "exit")!;
  assert.equal(rows.get(`${exit.pid} ${exit.tid}`), "vCPU 1");
  assert.deepEqual([exit.name, exit.ts, exit.dur], ["d0 Status", 5, 3]);
  assert.deepEqual(exit.args, {
    ...{ reason: "mmio", address: "0xc0001070", size: 4, write: true },
    value: "0xf",
  });
});

Deno.test("trace file: requests that overlap have rows of their own", () => {
  const requests = linesOf(EVENTS).filter(({ cat }) => cat === "request");
  const [first, second, third] = requests;
  assert.notEqual(first!.tid, second!.tid);
  assert.equal(first!.tid, third!.tid);
  const random = Array.from({ length: 500 }, (_, i) => request(i, (i * 7) % 40))
    .sort((a, b) => {
      const end = (event: TraceEvent) =>
        event.time + (event as { duration: number }).duration;
      return end(a) - end(b);
    });
  const busy = new Map<number, Line[]>();
  for (const line of linesOf(random).filter(({ cat }) => cat === "request")) {
    const others = busy.get(line.tid) ?? [];
    const clash = others.find(({ ts, dur }) =>
      line.ts < ts + dur - 1e-6 && ts < line.ts + line.dur - 1e-6
    );
    assert.equal(clash, undefined);
    busy.set(line.tid, [...others, line]);
  }
});

Deno.test("trace file: a flow leads from the doorbell to the interrupt", () => {
  const lines = linesOf(EVENTS);
  const slices = lines.filter(({ ph }) => ph === "X");
  const flows = lines.filter(({ cat }) => cat === "flow");
  for (const { ph, pid, tid, ts } of flows) {
    const within = slices.some((slice) =>
      slice.pid === pid && slice.tid === tid && slice.ts <= ts &&
      ts <= slice.ts + slice.dur
    );
    assert.ok(within, `${ph} at ${ts} is in no slice`);
  }
  const ways = [1, 2, 3].map((flow) =>
    flows.filter(({ id }) => id === flow).map(({ ph }) => ph).join("")
  );
  assert.deepEqual(ways, ["stf", "stf", "sf"]); // the third was polled
});

Deno.test("trace file: is written whole, is bounded, and is summed up", () =>
  withPath(async (path) => {
    assert.deepEqual(await written(path, [EVENTS, [], EVENTS]), []);
    JSON.parse(Deno.readTextFileSync(path));
    const summary = await summarise(path);
    assert.equal(summary.lost, 14);
    const [exit] = summary.exits;
    assert.deepEqual([exit!.name, exit!.count, exit!.total], [
      "d0 Status",
      2,
      6,
    ]);
    const [read] = summary.requests;
    assert.deepEqual([read!.name, read!.count, read!.bytes], [
      ...["d0 read", 6, 6 * 4096],
    ]);
    assert.deepEqual(read!.percentiles.map(Math.round), [5, 9, 9, 9]);
    assert.equal(summary.others["d0 doorbell"], 2);

    // Whatever a guest touches, a summary has its limits.
    const touched = Array.from({ length: 3000 }, (_, i) => ({
      ...EVENTS[0]!,
      register: `device+0x${i.toString(16)}`,
    })) as TraceEvent[];
    await written(path, [touched]);
    const { exits } = await summarise(path);
    assert.equal(exits.length, 1001);
    assert.equal(exits.find(({ name }) => name === "(others)")!.count, 2000);

    const many = Array.from({ length: 100 }, () => Array(100).fill(EVENTS[0]));
    const said = await written(`${path},max=64K`, many);
    assert.deepEqual(said, [
      `trace: ${path} has its 64 KiB; the rest isn't in it`,
    ]);
    const { size } = Deno.statSync(path);
    assert.ok(size >= 65536 && size < 65536 + 200 * 1000, `${size}`);
    JSON.parse(Deno.readTextFileSync(path));

    // A process that was killed leaves it without its end.
    const text = Deno.readTextFileSync(path);
    Deno.writeTextFileSync(path, text.slice(0, 1000));
    assert.ok((await summarise(path)).exits[0]!.count > 1);
    assert.deepEqual(await written(path, []), []);
    assert.deepEqual((await summarise(path)).exits, []);
  }));

Deno.test("trace file: a disk that is full ends it, in a line", async () => {
  const said = await written("/dev/full", []).catch((error) => [error.message]);
  assert.equal(said.length, 1);
  assert.match(said[0]!, /^--trace \/dev\/full: No space left on device/);
});

Deno.test("trace file: what is no file, or somebody else's, is left alone", () =>
  withPath(async (path) => {
    const opens = (text: string) => () => {
      const file = new TraceFile(parseTraceFile(text), assert.fail);
      void file[Symbol.asyncDispose]();
    };
    Deno.writeTextFileSync(path, "precious");
    assert.throws(
      opens(path),
      /^VireoError: --trace .*: is there, and is no trace/,
    );
    Deno.writeTextFileSync(path, "[1, 2]");
    assert.throws(opens(path), /is there, and is no trace/);
    assert.equal(Deno.readTextFileSync(path), "[1, 2]");
    assert.throws(opens("/"), /is there, and is no trace/);
    assert.throws(
      opens("/no/such/file"),
      /--trace \/no\/such\/file: No such file/,
    );
    for (const text of ["", ",exit", "f,", "f,exits", "f,vcpu=", "f,vcpu=x"]) {
      assert.throws(() => parseTraceFile(text), /^VireoError: --trace /, text);
    }
    for (const text of ["f,device=", "f,max=0", "f,max=1T", "f,=", "f,lost"]) {
      assert.throws(() => parseTraceFile(text), /^VireoError: --trace /, text);
    }
    assert.throws(() => parseTraceFile("f,exits"), /did you mean "exit"\?/);
    assert.equal(parseTraceFile("a,,b,exit").path, "a,b");
    await assert.rejects(
      summarise("/no/such"),
      /^VireoError: \/no\/such: No such/,
    );
    await assert.rejects(summarise(path), /is no trace of Vireo's/);
    await assert.rejects(summarise("/dev/zero"), /is no trace of Vireo's/);
    await assert.rejects(summarise("/"), /^VireoError: \/: /);
  }));
