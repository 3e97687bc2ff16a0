/** The live page: its buttons that reach further, and more machines than one. */
import assert from "node:assert/strict";
import { until } from "../../ffi/testing/until.ts";
import { serveLivePage } from "../../vmm/live_page.ts";
import { MAX_READERS } from "./feed.ts";
import { Noting, pageOf } from "./testing/noting.ts";
import { eventsOf, Visitor } from "./testing/visitor.ts";

Deno.test("live page: a balloon's target is set and its size shown; a snapshot goes where its owner said", async () => {
  const machine = new Noting();
  const none = { inFlight: 0, configInterrupts: 0, activations: 1, resets: 0 };
  machine.numbers.devices.push({
    ...{ name: "balloon", kind: "balloon", ...none, needsReset: 0 },
    ...{ throttled: 0, queues: [], requests: {} },
  });
  const { page } = pageOf(machine, () => undefined, "/srv/saved");
  await using _page = page;
  const visitor = new Visitor(page.url);
  for (const button of ["/snapshot", "/balloon"]) {
    assert.equal((await visitor.post(button, "4")).status, 401);
  }
  await visitor.enter();
  for (const button of ["/snapshot", "/balloon"]) {
    assert.equal((await visitor.get(button)).status, 404);
  }
  assert.equal(machine.told.length, 0);
  const seen = eventsOf(await visitor.get("/events"));
  await seen.until(/"balloon":\{"target_mib":4,"actual_mib":2\}/);

  assert.equal((await visitor.post("/balloon", "4")).status, 204);
  assert.ok(machine.told.includes('{"type":"set-target","mib":4}'));
  for (const wrong of ["", "-1", "1e9", "4 ", "0x4", "123456789", "ü"]) {
    const { status, text } = await visitor.post("/balloon", wrong);
    assert.deepEqual([status, text], [409, "balloon: not a number of MiB\n"]);
  }
  const { status, text } = await visitor.post("/balloon", "17");
  assert.deepEqual([status, text], [
    409,
    "balloon: more than the guest's memory\n",
  ]);

  const folder = /^saved in (\/srv\/saved\/vireo-20[\dTZ-]+)$/;
  const saved = await visitor.post("/snapshot", "/etc");
  assert.equal(saved.status, 200);
  const told = machine.told.find((line) => folder.test(line))!;
  const [, path] = folder.exec(told)!;
  assert.equal(
    saved.text,
    `saved in ${path}; it goes on with: vireo restore ${path}\n`,
  );
});

Deno.test("live page: 100 machines of one process in a list, each with its numbers, console and buttons", async () => {
  await using page = await serveLivePage();
  const visitor = new Visitor(page.url);
  await visitor.enter();
  assert.equal((await visitor.get("/events")).status, 404);
  const machines = Array.from({ length: 100 }, () => new Noting());
  const typed: string[] = [];
  const places = machines.map((machine, index) => {
    machine.numbers.vcpus = [{ exits: { io: index, mmio: 1 } }];
    const place = page.add(`m${index}`);
    if (index === 50) return place; // in the making
    place.watch(machine, (bytes) => {
      typed.push(`m${index} ${new TextDecoder().decode(bytes)}`);
      return undefined;
    });
    place.heard(new TextEncoder().encode(`I am ${index}\n`));
    return place;
  });
  assert.throws(
    () => page.add("m1"),
    /^VireoError: live page: add "m1": there/,
  );
  assert.throws(() => page.add("a/../b"), /^VireoError: live page: add "a/);

  const seen = eventsOf(await visitor.get("/events?machine=m7"));
  const numbers = /^data: (\{.*)\n/m; // a line comes in pieces
  await seen.until(numbers);
  const { metrics, machines: rows } = JSON.parse(
    numbers.exec(seen.text)![1]!,
  );
  assert.deepEqual(metrics.vcpus, [{ exits: { io: 7, mmio: 1 } }]);
  assert.match(seen.text, new RegExp(`^data: ${btoa("I am 7\n")}$`, "m"));
  assert.equal(rows.length, 100);
  assert.deepEqual(rows[9], {
    ...{ name: "m9", state: "running", memory: 16 << 20 },
    ...{ exits: 10, requests: 0, bytes: 0 },
  });
  assert.equal(rows[50].state, undefined);

  // Each is steered by its name, the first one without.
  assert.equal((await visitor.post("/pause?machine=m99")).status, 204);
  assert.equal((await visitor.post("/input?machine=m3", "ls")).status, 204);
  assert.equal((await visitor.post("/pause")).status, 204);
  const paused = machines.flatMap(({ state }, index) =>
    state === "paused" ? [index] : []
  );
  assert.deepEqual([paused, typed], [[0, 99], ["m3 ls"]]);
  for (const path of ["/pause?machine=m100", "/pause?machine=", "/x"]) {
    assert.equal((await visitor.post(path)).status, 404, path);
  }
  const other = await visitor.get("/events?machine=constructor");
  assert.equal(other.status, 404);

  // The limit of readers is that of all of them.
  const readers = await Promise.all(
    Array.from(
      { length: MAX_READERS - 1 },
      (_, index) => visitor.get(`/events?machine=m${index + 51}`),
    ),
  );
  const full = () => visitor.get("/events?machine=m1");
  assert.equal((await full()).status, 503);
  await Promise.all(readers.map(({ body }) => body!.cancel()));
  await until(async () => {
    const { status, body } = await full();
    await body?.cancel();
    return status === 200;
  }, "room");

  // One that goes tells its readers; the others stay.
  places[7]![Symbol.dispose]();
  await seen.until(/^event: end$/m);
  assert.equal((await visitor.post("/pause?machine=m7")).status, 404);
  assert.equal((await visitor.post("/pause?machine=m8")).status, 204);
});

Deno.test("live page: a program's is this host's own, unless it says so", async () => {
  await assert.rejects(serveLivePage({ hostname: "0.0.0.0" }), {
    name: "VireoError",
    message: "live page 0.0.0.0:0: other hosts could come: only with --public",
  });
  await using page = await serveLivePage({ hostname: "::1" });
  const { port } = new URL(page.url);
  await assert.rejects(
    serveLivePage({ hostname: "::1", port: Number(port) }),
    /^VireoError: live page \[::1\]:\d+: Address already in use/,
  );
});

Deno.test("live page: a log has what was asked for of one device, and no more than can be shown", async () => {
  const machine = new Noting();
  const { page } = pageOf(machine);
  await using _page = page;
  const visitor = new Visitor(page.url);
  await visitor.enter();
  const log = await visitor.get("/log?types=step,exit&device=d0");
  assert.equal(log.status, 200);
  assert.deepEqual(machine.told, ["step,exit of d0, 200 at once"]);
  await log.body!.cancel();
});
