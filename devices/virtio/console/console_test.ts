/** The console device (virtio 1.2 §5.3). */
import assert from "node:assert/strict";
import { MemoryConsole } from "../../backends/testing/console.ts";
import { Console } from "./console.ts";
import {
  ConsoleConfig,
  ConsoleFeature,
  ConsoleQueue,
  MAX_PORTS,
} from "./spec.ts";
import { ConsoleDriver } from "../testing/console.ts";
import { MmioRegister } from "../transport/mmio.ts";
import { DeviceId, Feature, Interrupt, Status } from "../spec.ts";
import { MockDriver } from "../testing/mod.ts";
import { DescriptorFlag } from "../testing/queue.ts";

const { RECEIVE, TRANSMIT, CONTROL_RECEIVE, CONTROL_TRANSMIT } = ConsoleQueue;
const LOG_RECEIVE = 4;
const LOG_TRANSMIT = 5;
const CONFIG = MmioRegister.Config;
/** With MULTIPORT, and both kinds of suppression. */
const FEATURES = [
  [ConsoleFeature.MULTIPORT],
  [ConsoleFeature.MULTIPORT, Feature.EVENT_IDX, Feature.INDIRECT_DESC],
];

Deno.test("console: two queues per port, the control queues after the first's (§5.3.2)", () => {
  using driver = new ConsoleDriver();
  assert.equal(driver.activated.device.deviceId, DeviceId.CONSOLE);
  assert.equal(driver.activated.queues.length, 6);
  assert.equal(driver.get(CONFIG + ConsoleConfig.max_nr_ports), 2);
  assert.equal(driver.offered[0] & 7, 7);
  const port = () => ({ name: "", backend: new MemoryConsole() });
  const ports = Array.from({ length: MAX_PORTS }, port);
  new MockDriver(new Console(ports)).close();
  assert.throws(() => new Console([...ports, port()]), RangeError);
  assert.throws(() => new Console([]), RangeError);
});

Deno.test("console: without MULTIPORT the first port is a console that is open", () => {
  using driver = new ConsoleDriver({ features: [ConsoleFeature.SIZE] });
  const head = driver.send(TRANSMIT, "hel", "lo");
  assert.equal(driver.ends[0]!.written, "hello");
  assert.equal(driver.queues[TRANSMIT]!.poll(), head);
  driver.post(RECEIVE, 4, 4);
  driver.ends[0]!.type("typed");
  assert.deepEqual(driver.received(RECEIVE), ["type", "d"]);
});

Deno.test("console: ports are told of in order: added, console, name, open (§5.3.6.2)", () => {
  for (const features of FEATURES) {
    using driver = new ConsoleDriver({ features });
    driver.ends[1]!.connected = false;
    driver.post(CONTROL_RECEIVE, ...Array(16).fill(128));
    assert.deepEqual(driver.told(), [], "not before the driver is ready");
    driver.tell(0, "DEVICE_READY");
    assert.deepEqual(driver.told(), ["0 DEVICE_ADD 1", "1 DEVICE_ADD 1"]);
    driver.tell(1, "PORT_READY");
    assert.deepEqual(driver.told(), ["1 PORT_NAME 1 log", "1 PORT_OPEN 0"]);
    driver.tell(0, "PORT_READY");
    assert.deepEqual(driver.told(), [
      "0 CONSOLE_PORT 1",
      "0 PORT_NAME 1 main",
      "0 PORT_OPEN 1",
    ]);
    driver.ends[1]!.connect(true);
    assert.deepEqual(driver.told(), ["1 PORT_OPEN 1"]);
    driver.ends[1]!.changed();
    assert.deepEqual(driver.told(), [], "nothing new");
    driver.ends[1]!.connect(false);
    assert.deepEqual(driver.told(), ["1 PORT_OPEN 0"]);
  }
});

Deno.test("console: messages wait for buffers, and the last state counts", () => {
  using driver = new ConsoleDriver();
  driver.tell(0, "DEVICE_READY");
  driver.tell(1, "PORT_READY");
  for (let i = 0; i < 101; i++) driver.ends[1]!.connect(i % 2 === 1);
  driver.post(CONTROL_RECEIVE, 128, 128);
  assert.deepEqual(driver.told(), ["0 DEVICE_ADD 1", "1 DEVICE_ADD 1"]);
  driver.post(CONTROL_RECEIVE, 128, 128);
  assert.deepEqual(driver.told(), ["1 PORT_NAME 1 log", "1 PORT_OPEN 0"]);
});

Deno.test("console: a size is in the configuration, in a message, and tells once it's known (§5.3.4)", () => {
  using driver = new ConsoleDriver();
  const resize = (columns: number, rows: number) =>
    driver.activated.command({ type: "resize", columns, rows });
  resize(80, 25);
  assert.equal(driver.get(CONFIG + ConsoleConfig.cols, 2), 80);
  assert.equal(driver.get(CONFIG + ConsoleConfig.rows, 2), 25);
  assert.equal(driver.acknowledge() & Interrupt.CONFIG_CHANGE, 2);
  driver.post(CONTROL_RECEIVE, ...Array(16).fill(128));
  driver.tell(0, "DEVICE_READY");
  driver.told();
  for (const id of [0, 1]) driver.tell(id, "PORT_READY");
  assert.deepEqual(driver.told(), [
    ...["0 CONSOLE_PORT 1", "0 PORT_NAME 1 main", "0 RESIZE 0 80x25"],
    ...["0 PORT_OPEN 1", "1 PORT_NAME 1 log", "1 PORT_OPEN 1"],
  ]);
  resize(132, 43);
  assert.deepEqual(driver.told(), ["0 RESIZE 0 132x43"]);
  for (const bad of [-1, 70_000, 1.5, NaN]) {
    assert.throws(() => resize(bad, 25), /is no size/);
  }
});

Deno.test("console: input waits until the guest has opened the port, and for buffers", () => {
  for (const features of FEATURES) {
    using driver = new ConsoleDriver({ features });
    driver.post(RECEIVE, 8);
    driver.ends[0]!.type("early");
    assert.deepEqual(driver.received(RECEIVE), []);
    driver.open();
    assert.deepEqual(driver.received(RECEIVE), ["early"]);
    driver.ends[0]!.type("0123456789");
    assert.deepEqual(driver.received(RECEIVE), []);
    assert.equal(driver.ends[0]!.input, "0123456789", "it stays there");
    driver.post(RECEIVE, 4, 4);
    assert.deepEqual(driver.received(RECEIVE), ["0123", "4567"]);
    driver.tell(0, "PORT_OPEN", 0);
    driver.post(RECEIVE, 4);
    assert.deepEqual(driver.received(RECEIVE), []);
    driver.tell(0, "PORT_OPEN", 1);
    assert.deepEqual(driver.received(RECEIVE), ["89"]);
  }
});

Deno.test("console: output without room waits, in order, and nothing is lost", () => {
  for (const features of FEATURES) {
    using driver = new ConsoleDriver({ features });
    driver.open();
    const [end] = driver.ends;
    const queue = driver.queues[TRANSMIT]!;
    end!.room = 5;
    const heads = [driver.send(TRANSMIT, "abc", "def"), -1];
    assert.equal(end!.written, "abcde");
    assert.equal(queue.poll(), -1, "it is not out yet");
    heads[1] = driver.send(TRANSMIT, "ghi");
    end!.room = 2;
    end!.changed();
    assert.equal(end!.written, "abcdefg");
    assert.equal(queue.poll(), heads[0]);
    assert.equal(queue.poll(), -1);
    end!.room = Infinity;
    end!.changed();
    assert.equal(end!.written, "abcdefghi");
    assert.equal(queue.poll(), heads[1]);
    driver.send(TRANSMIT, "!");
    assert.equal(end!.written, "abcdefghi!");
  }
});

Deno.test("console: ports don't get in each other's way", () => {
  using driver = new ConsoleDriver();
  driver.open();
  driver.ends[0]!.room = 0;
  driver.send(TRANSMIT, "stuck");
  driver.send(LOG_TRANSMIT, "logged");
  assert.equal(driver.ends[1]!.written, "logged");
  driver.post(LOG_RECEIVE, 16);
  driver.ends[0]!.type("for the console");
  driver.ends[1]!.type("for the log");
  assert.deepEqual(driver.received(LOG_RECEIVE), ["for the log"]);
  driver.post(RECEIVE, 16);
  assert.deepEqual(driver.received(RECEIVE), ["for the console"]);
});

Deno.test("console: what is written while nobody is connected is lost, not kept", () => {
  using driver = new ConsoleDriver();
  driver.open();
  driver.ends[1]!.connect(false);
  driver.send(LOG_TRANSMIT, "nobody");
  assert.equal(driver.queues[LOG_TRANSMIT]!.poll(), 0);
  driver.ends[1]!.connect(true);
  driver.send(LOG_TRANSMIT, "somebody");
  assert.equal(driver.ends[1]!.written, "somebody");
});

Deno.test("console: an emergency write is a character on the console (§5.3.4)", () => {
  using driver = new ConsoleDriver();
  driver.reset(); // before any driver
  for (const character of "Panic") {
    driver.set(CONFIG + ConsoleConfig.emerg_wr, character.charCodeAt(0));
  }
  driver.set(CONFIG + ConsoleConfig.cols, 1);
  assert.equal(driver.ends[0]!.written, "Panic");
  assert.equal(driver.get(CONFIG + ConsoleConfig.cols, 2), 0, "read-only");
});

Deno.test("console: a reset forgets what was held, and the ports are told of anew", () => {
  using driver = new ConsoleDriver();
  driver.open();
  driver.ends[0]!.room = 1;
  driver.send(TRANSMIT, "abc");
  driver.post(RECEIVE, 8);
  driver.reset();
  driver.ends[0]!.room = Infinity;
  driver.ends[0]!.type("later");
  assert.equal(driver.ends[0]!.written, "a");
  driver.start();
  driver.open();
  driver.post(RECEIVE, 8);
  assert.deepEqual(driver.received(RECEIVE), ["later"]);
  driver.send(TRANSMIT, "new");
  assert.equal(driver.ends[0]!.written, "anew");
});

Deno.test("console: resetting one queue leaves the others as they are (§2.6.1)", () => {
  using driver = new ConsoleDriver();
  driver.open();
  driver.post(LOG_RECEIVE, 8);
  driver.ends[1]!.changed(); // its buffer is held now
  driver.ends[0]!.room = 1;
  driver.send(TRANSMIT, "ab");
  driver.set(MmioRegister.QueueSel, TRANSMIT);
  driver.set(MmioRegister.QueueReady, 0);
  driver.ends[0]!.room = Infinity;
  driver.ends[0]!.changed();
  assert.equal(driver.ends[0]!.written, "a");
  driver.ends[1]!.type("log");
  assert.deepEqual(driver.received(LOG_RECEIVE), ["log"]);
});

Deno.test("console hostile: messages cut off, of ports that there aren't, unknown and endless", () => {
  using driver = new ConsoleDriver();
  driver.post(CONTROL_RECEIVE, 128, 3, 128, 128);
  for (const text of ["", "\0", "\0\0\0\0\0\0\0"]) {
    if (text !== "") driver.send(CONTROL_TRANSMIT, text);
  }
  driver.queues[CONTROL_TRANSMIT]!.add([driver.room(64)]);
  driver.ring(CONTROL_TRANSMIT);
  while (driver.queues[CONTROL_TRANSMIT]!.poll() >= 0);
  for (const id of [2, 14, 0xffff_ffff]) driver.tell(id, "PORT_OPEN");
  driver.tell(0, "DEVICE_REMOVE");
  driver.tell(0, "PORT_NAME", 0xffff);
  driver.tell(0, "DEVICE_READY", 0);
  assert.deepEqual(driver.told(), []);
  for (let i = 0; i < 1000; i++) driver.tell(0, "DEVICE_READY");
  assert.equal(driver.received(CONTROL_RECEIVE).length, 4);
  assert.equal(driver.status & Status.DEVICE_NEEDS_RESET, 0);
});

Deno.test("console hostile: buffers of the wrong direction move nothing, those outside RAM need a reset", () => {
  using driver = new ConsoleDriver();
  driver.open();
  driver.queues[RECEIVE]!.add([driver.buffer(new Uint8Array(8))]);
  driver.queues[TRANSMIT]!.add([driver.room(8)]);
  driver.ring(TRANSMIT);
  driver.ends[0]!.type("x");
  assert.equal(driver.ends[0]!.written, "");
  assert.equal(driver.rx.poll(), 0);
  assert.equal(driver.rx.usedLength, 0);
  driver.post(RECEIVE, 8);
  assert.deepEqual(driver.received(RECEIVE), ["x"]);
  assert.equal(driver.status & Status.DEVICE_NEEDS_RESET, 0);
  driver.queues[LOG_TRANSMIT]!.describe(3, 0xc000_0000, 8);
  driver.queues[LOG_TRANSMIT]!.offer(3);
  driver.ring(LOG_TRANSMIT);
  assert.ok(driver.status & Status.DEVICE_NEEDS_RESET);
  driver.start();
  driver.open();
  driver.queues[LOG_RECEIVE]!.describe(
    ...[3, 0xffff_f000, 8, DescriptorFlag.WRITE] as const,
  );
  driver.queues[LOG_RECEIVE]!.offer(3);
  driver.ring(LOG_RECEIVE);
  assert.ok(driver.status & Status.DEVICE_NEEDS_RESET);
});

Deno.test("console: on a thread that polls, a turn is bounded and nothing is left", () => {
  using driver = new ConsoleDriver({ awake: true });
  driver.open();
  driver.turn();
  const text = "0123456789".repeat(10);
  driver.post(RECEIVE, ...Array(30).fill(2));
  driver.ends[0]!.type(text);
  assert.equal(driver.rx.usedIdx, 16, "the others' turn");
  driver.turn();
  assert.equal(driver.rx.usedIdx, 30);
  assert.equal(driver.received(RECEIVE).join(""), text.slice(0, 60));
  driver.post(RECEIVE, 100);
  driver.turn();
  assert.equal(driver.received(RECEIVE).join(""), text.slice(60));
  for (let i = 0; i < 30; i++) {
    driver.queues[TRANSMIT]!.add([driver.buffer(Uint8Array.of(65 + i))]);
  }
  driver.ring(TRANSMIT);
  driver.turn();
  assert.equal(driver.ends[0]!.written.length, 30);
});
