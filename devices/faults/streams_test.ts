/** Faults of consoles and sockets: of bytes, in either direction. */
import assert from "node:assert/strict";
import { HostProgram, HostServer } from "../backends/testing/vsock.ts";
import type { OwnEvent } from "../own/context.ts";
import { faultyConsole } from "../virtio/console/faulty.ts";
import { AGENT_PORT, ConsoleQueue } from "../virtio/console/spec.ts";
import type { MakerContext } from "../virtio/maker.ts";
import { ConsoleDriver } from "../virtio/testing/console.ts";
import { CID, VsockDriver } from "../virtio/testing/vsock.ts";
import { faultyVsock } from "../virtio/vsock/faulty.ts";
import { VsockOp } from "../virtio/vsock/spec.ts";
import { MemoryConsole } from "../backends/testing/console.ts";
import type { FaultPlan, FaultRule } from "./rules.ts";

const { RECEIVE, TRANSMIT } = ConsoleQueue;
const bytes = (text: string) => new TextEncoder().encode(text);
const text = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes);

function context(told: OwnEvent[] = []): MakerContext {
  return { emit: (event: OwnEvent) => told.push(event) } as never;
}

function console(...rules: FaultRule[]): ConsoleDriver {
  const driver = new ConsoleDriver(
    {},
    (ports) => faultyConsole(ports, { seed: 3, rules }, context()),
  ).open();
  driver.post(RECEIVE, ...Array(8).fill(64));
  return driver;
}

/** How many bits differ. */
function wrongBits(got: string, sent: string): number {
  assert.equal(got.length, sent.length, got);
  let sum = 0;
  for (let i = 0; i < got.length; i++) {
    const wrong = got.charCodeAt(i) ^ sent.charCodeAt(i);
    sum += wrong.toString(2).replaceAll("0", "").length;
  }
  return sum;
}

Deno.test("faults: a console's bytes are lost, doubled, wrong, cut and late", () => {
  const all = (on: "output" | "input"): FaultRule[] => [
    { on, effect: "drop", nth: 2 },
    { on, effect: "duplicate", nth: 2 },
    { on, effect: "short", bytes: 2, nth: 2 },
    { on, effect: "delay", delay_ms: 1, nth: 3 },
  ];
  using output = console(...all("output"));
  const end = output.ends[0]!;
  for (const one of ["one ", "two ", "three ", "four "]) {
    output.send(TRANSMIT, one);
  }
  output.send(TRANSMIT, "five ");
  const printed = "one three three four five ";
  output.until(() => end.written.length >= printed.length, "output");
  assert.equal(end.written, printed);

  using input = console(...all("input"));
  const typed = ["one ", "two ", "three ", "four ", "five "];
  for (const one of typed) input.ends[0]!.type(one);
  let got = "";
  input.until(() => {
    got += input.received(RECEIVE).join("");
    return got.length >= printed.length;
  }, "input");
  assert.equal(got, printed);

  using wrong = console(
    { on: "output", effect: "corrupt", bytes: 1 },
    { on: "input", effect: "corrupt", bytes: 1 },
  );
  wrong.send(TRANSMIT, "hello");
  assert.equal(wrongBits(wrong.ends[0]!.written, "hello"), 1);
  wrong.ends[0]!.type("hello");
  assert.equal(wrongBits(wrong.received(RECEIVE).join(""), "hello"), 1);
});

Deno.test("faults: a console's bytes stall until there are other rules, in order; a snapshot and a reset end that", () => {
  const rules: FaultRule[] = [
    { on: "output", effect: "stall" },
    { on: "input", effect: "stall" },
  ];
  using driver = console(...rules);
  const end = driver.ends[0]!;
  const set = (rules: FaultRule[]) => {
    const plan: FaultPlan = { rules };
    driver.activated.command({ type: "faults", plan });
  };
  driver.send(TRANSMIT, "one ");
  driver.send(TRANSMIT, "two ");
  end.type("in ");
  driver.turn();
  end.type("order");
  assert.deepEqual([end.written, driver.received(RECEIVE)], ["", []]);
  set([]);
  assert.equal(end.written, "one two ");
  assert.equal(driver.received(RECEIVE).join(""), "in order");
  set(rules);
  driver.send(TRANSMIT, "three ");
  driver.activated.save();
  driver.activated.resume();
  assert.equal(end.written, "one two three ");
  driver.send(TRANSMIT, "lost by the reset");
  driver.start();
  set([]);
  driver.open();
  driver.send(TRANSMIT, "four");
  assert.equal(end.written, "one two three four");
});

Deno.test("faults: the agent's port has none", () => {
  const backend = new MemoryConsole();
  const port = { name: AGENT_PORT, backend };
  const rules: FaultRule[] = [{ on: "output", effect: "drop" }];
  using driver = new ConsoleDriver(
    {},
    ([main]) => faultyConsole([main!, port], { rules }, context()),
  );
  driver.open();
  driver.send(5, "hello");
  assert.equal(backend.written, "hello");
});

/** A guest that has connected to port 52, and a program that has accepted. */
function connected(...rules: FaultRule[]) {
  const told: OwnEvent[] = [];
  const driver = new VsockDriver({
    make: (sockets) =>
      faultyVsock(CID, sockets, { seed: 3, rules }, context(told)),
  });
  const server = new HostServer(`${driver.path}_52`);
  const ends = { srcPort: 1024, dstPort: 52 };
  driver.send({ op: VsockOp.REQUEST, ...ends });
  driver.expect({ op: VsockOp.RESPONSE });
  const program = server.accept()!;
  return {
    ...{ driver, program, told },
    send: (text: string) =>
      driver.send({ op: VsockOp.RW, ...ends, payload: bytes(text) }),
    /** What the program reads, when `count` bytes are there. */
    reads(count: number): string {
      let got = "";
      driver.until(() => {
        driver.look();
        const read = program.read();
        if (typeof read !== "string") got += text(read);
        return got.length >= count;
      }, "bytes for the program");
      return got;
    },
    /** What the guest gets, when `count` bytes are there. */
    gets(count: number): string {
      const got = () =>
        driver.received.filter(({ op }) => op === VsockOp.RW)
          .map(({ payload }) => text(payload)).join("");
      driver.until(() => (driver.look(), got().length >= count), "bytes");
      const all = got();
      driver.received.length = 0;
      return all;
    },
    [Symbol.dispose]() {
      program.close();
      server[Symbol.dispose]();
      driver.close();
    },
  };
}

Deno.test("faults: a socket's bytes are lost, doubled, wrong, cut and late, both ways", () => {
  const all = (on: "output" | "input"): FaultRule[] => [
    { on, effect: "drop", nth: 2 },
    { on, effect: "duplicate", nth: 2 },
    { on, effect: "short", bytes: 2, nth: 2 },
    { on, effect: "delay", delay_ms: 1, nth: 3 },
  ];
  using test = connected(...all("output"), ...all("input"));
  const { driver, program } = test;
  const sent = ["one ", "two ", "three ", "four ", "five ", "six "];
  const arrives = "one three three four five six ";
  for (const one of sent) test.send(one);
  assert.equal(test.reads(arrives.length), arrives);
  const echo: string[] = [];
  for (const one of sent) {
    program.write(one);
    driver.look();
    if (one === "two ") continue;
    const count = one === "three " ? 12 : one.length;
    echo.push(test.gets(count));
  }
  assert.equal(echo.join(""), arrives);
  using wrong = connected(
    { on: "output", effect: "corrupt" },
    { on: "input", effect: "corrupt" },
  );
  wrong.send("hello");
  assert.equal(wrongBits(wrong.reads(5), "hello"), 1);
  wrong.program.write("hello");
  assert.equal(wrongBits(wrong.gets(5), "hello"), 1);
});

Deno.test("faults: a socket's bytes stall until there are other rules; its credit holds", () => {
  using test = connected(
    { on: "output", effect: "stall" },
    { on: "input", effect: "stall" },
  );
  const { driver, program } = test;
  test.send("one ");
  test.send("two");
  program.write("three");
  driver.look();
  assert.equal(program.readText(), "[nothing yet]");
  driver.expectNothing();
  driver.activated.command({ type: "faults", plan: { rules: [] } });
  assert.equal(test.reads(7), "one two");
  assert.equal(test.gets(5), "three");
});

Deno.test("faults: connections are refused both ways, and break", () => {
  const rules: FaultRule[] = [{ on: "connect", effect: "error" }];
  using driver = new VsockDriver({
    make: (sockets) => faultyVsock(CID, sockets, { rules }, context()),
  });
  using server = new HostServer(`${driver.path}_52`);
  driver.send({ op: VsockOp.REQUEST, srcPort: 1024, dstPort: 52 });
  driver.expect({ op: VsockOp.RST, dstPort: 1024 });
  assert.equal(server.accept(), undefined);
  using program = HostProgram.connect(driver.path);
  driver.look();
  assert.equal(program.readText(), "[end of file]");

  for (const way of ["output", "input"]) {
    using test = connected({ on: "connect", effect: "short", bytes: 6 });
    test.send("one ");
    assert.equal(test.reads(4), "one ");
    if (way === "output") test.send("two ");
    else test.program.write("two ");
    const over = () => test.driver.look().some(({ op }) => op === VsockOp.RST);
    test.driver.until(over, "the guest's reset");
    assert.match(test.program.readText(), /end of file|reset/);
  }
});
