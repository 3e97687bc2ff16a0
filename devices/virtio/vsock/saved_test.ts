/** A socket device that is saved with streams, and restored without. */
import assert from "node:assert/strict";
import { HostProgram, HostServer } from "../../backends/testing/vsock.ts";
import { UnixSockets } from "../../backends/vsock/unix_sockets.ts";
import { UnixListener } from "../../../ffi/unix_socket.ts";
import { MmioRegister } from "../transport/mmio.ts";
import { goOn } from "../testing/saved.ts";
import { VsockDriver } from "../testing/vsock.ts";
import { Feature } from "../spec.ts";
import { VsockOp, VsockQueue } from "./spec.ts";
import { Vsock } from "./vsock.ts";

const { REQUEST, RESPONSE, RST, RW } = VsockOp;
const PORT = 5000;
const OTHER_CID = 77;

/** Another host: its listening socket. */
class OtherHost implements Disposable {
  readonly #dir = Deno.makeTempDirSync({ prefix: "vireo-vsock-" });
  readonly path = `${this.#dir}/v.sock`;
  readonly listener = new UnixListener(this.path, "vsock");

  device(cid: number): Vsock {
    return new Vsock(cid, new UnixSockets(this.listener));
  }

  [Symbol.dispose](): void {
    this.listener[Symbol.dispose]();
    Deno.removeSync(this.#dir, { recursive: true });
  }
}

Deno.test("vsock saved: the machine that was saved keeps its streams", () => {
  using driver = new VsockDriver();
  const { program, hostPort } = driver.connectFromHost(PORT);
  using _program = program;
  for (let lap = 0; lap < 100; lap++) {
    goOn(driver, "resumed", () => driver.vsock);
    program.write(`to guest ${lap}`);
    driver.turn();
    goOn(driver, "resumed", () => driver.vsock);
    const { payload } = driver.expect({ op: RW, srcPort: hostPort });
    assert.equal(new TextDecoder().decode(payload), `to guest ${lap}`);
    const ends = { srcPort: PORT, dstPort: hostPort };
    driver.send({
      ...ends,
      op: RW,
      payload: new TextEncoder().encode(`to host ${lap}`),
    });
    assert.equal(program.readText(), `to host ${lap}`);
  }
});

Deno.test("vsock saved: a restored guest hears that its streams are gone, and its listeners go on", () => {
  using host = new OtherHost();
  using server = new HostServer(`${host.path}_9`);
  using driver = new VsockDriver();
  const { program, hostPort } = driver.connectFromHost(PORT);
  const events = [1, 2].map(() => driver.room(4));
  for (const event of events) driver.queues[VsockQueue.EVENT]!.add([event]);
  driver.ring(VsockQueue.EVENT);
  goOn(driver, "restored", () => host.device(OTHER_CID));
  assert.equal(program.readText(), "[end of file]", "of the old machine");
  program.close();
  const queue = driver.queues[VsockQueue.EVENT]!;
  assert.ok(queue.poll() >= 0);
  assert.equal(queue.usedLength, 4);
  assert.deepEqual([...driver.bytes(events[0]!)], [0, 0, 0, 0]);
  assert.equal(queue.poll(), -1, "once");
  assert.equal(driver.get(MmioRegister.Config), OTHER_CID);
  queue.add([events[0]!]); // it has looked at it
  driver.ring(VsockQueue.EVENT);
  // What it still sends on the old stream is answered by a reset.
  const from = { srcCid: OTHER_CID, srcPort: PORT };
  driver.send({
    ...from,
    op: RW,
    dstPort: hostPort,
    payload: Uint8Array.of(1),
  });
  driver.expect({ op: RST, dstCid: OTHER_CID, dstPort: PORT });
  // Its listener is reached, and it reaches the new host's.
  using again = HostProgram.connect(host.path);
  again.write(`CONNECT ${PORT}\n`);
  const { srcPort } = driver.expect({
    op: REQUEST,
    dstCid: OTHER_CID,
    dstPort: PORT,
  });
  driver.send({ ...from, op: RESPONSE, dstPort: srcPort });
  assert.equal(again.readText(), `OK ${srcPort}\n`);
  driver.send({ ...from, srcPort: 6, op: REQUEST, dstPort: 9 });
  driver.expect({ op: RESPONSE, dstPort: 6 });
  server.accept()!.close();
});

Deno.test("vsock saved: the event waits for a buffer, the buffers that were posted for packets", () => {
  using host = new OtherHost();
  using driver = new VsockDriver({ buffers: 2 });
  driver.connectFromHost(PORT).program.close();
  driver.look();
  for (let i = 0; i < 2; i++) goOn(driver, "restored", () => host.device(3));
  const event = driver.room(4);
  driver.queues[VsockQueue.EVENT]!.add([event]);
  driver.ring(VsockQueue.EVENT);
  assert.ok(driver.queues[VsockQueue.EVENT]!.poll() >= 0);
  driver.queues[VsockQueue.EVENT]!.add([event]);
  driver.ring(VsockQueue.EVENT);
  driver.received.length = 0;
  const ports = [1, 2, 3, 4, 5];
  const programs = ports.map((port) => {
    const program = HostProgram.connect(host.path);
    program.write(`CONNECT ${port}\n`);
    return program;
  });
  driver.look();
  const asked = driver.received.map(({ op, dstPort }) => [op, dstPort]);
  assert.deepEqual(asked, ports.map((port) => [REQUEST, port]));
  for (const program of programs) program.close();
});

Deno.test("vsock saved: a stream begins when the guest has looked at the event, which would end it without a word", () => {
  using host = new OtherHost();
  using driver = new VsockDriver();
  const queue = driver.queues[VsockQueue.EVENT]!;
  const events = [1, 2, 3].map(() => driver.room(4));
  for (const event of events) queue.add([event]);
  driver.ring(VsockQueue.EVENT);
  goOn(driver, "restored", () => host.device(OTHER_CID));
  using program = HostProgram.connect(host.path);
  program.write(`CONNECT ${PORT}\n`);
  using _server = new HostServer(`${host.path}_9`);
  driver.send({ srcCid: OTHER_CID, srcPort: 6, op: REQUEST, dstPort: 9 });
  driver.expectNothing();
  // It is asked for another snapshot meanwhile, and its other doorbells ring.
  goOn(driver, "resumed", () => driver.vsock);
  for (const index of [0, 1, 2]) driver.ring(index);
  driver.expectNothing();
  assert.ok(queue.poll() >= 0);
  queue.add([events[0]!]);
  driver.ring(VsockQueue.EVENT);
  const told = driver.look().map(({ op }) => op).toSorted();
  assert.deepEqual(told, [REQUEST, RESPONSE]);
  // It has its buffers: as many events more.
  for (let lap = 0; lap < 3; lap++) {
    driver.received.length = 0;
    goOn(driver, "restored", () => host.device(OTHER_CID));
    assert.ok(queue.poll() >= 0, `event ${lap}`);
    queue.add([events[lap]!]);
    driver.ring(VsockQueue.EVENT);
  }
});

Deno.test("vsock saved: a guest that is restored again before it has looked at the event has to look at both", () => {
  for (const buffers of [2, 3, 16]) {
    using first = new OtherHost();
    using second = new OtherHost();
    using driver = new VsockDriver();
    const queue = driver.queues[VsockQueue.EVENT]!;
    const post = () => {
      queue.add([driver.room(4)]);
      driver.ring(VsockQueue.EVENT);
    };
    for (let i = 0; i < buffers; i++) post();
    goOn(driver, "restored", () => first.device(OTHER_CID));
    goOn(driver, "restored", () => second.device(OTHER_CID));
    using program = HostProgram.connect(second.path);
    program.write(`CONNECT ${PORT}\n`);
    driver.expectNothing();
    // It looks at the first event only.
    assert.ok(queue.poll() >= 0, `${buffers} buffers: the first event`);
    post();
    driver.expectNothing();
    assert.ok(queue.poll() >= 0, `${buffers} buffers: the second event`);
    assert.equal(queue.poll(), -1, `${buffers} buffers: two events`);
    goOn(driver, "resumed", () => driver.vsock);
    driver.expectNothing();
    post();
    driver.expect({ op: REQUEST, dstPort: PORT });
  }
});

Deno.test("vsock saved: without any buffer for the event, no stream begins before the guest gives one", () => {
  using first = new OtherHost();
  using second = new OtherHost();
  using server = new HostServer(`${second.path}_9`);
  using driver = new VsockDriver();
  const queue = driver.queues[VsockQueue.EVENT]!;
  const event = driver.room(4);
  const post = () => {
    queue.add([event]);
    driver.ring(VsockQueue.EVENT);
  };
  goOn(driver, "restored", () => first.device(OTHER_CID));
  driver.expectNothing();
  goOn(driver, "restored", () => second.device(OTHER_CID)); // and once more
  using program = HostProgram.connect(second.path);
  program.write(`CONNECT ${PORT}\n`);
  driver.send({ srcCid: OTHER_CID, srcPort: 6, op: REQUEST, dstPort: 9 });
  using begun = server.accept()!;
  goOn(driver, "resumed", () => driver.vsock);
  for (const index of [0, 1, 2]) driver.ring(index);
  driver.expectNothing();
  post();
  assert.ok(queue.poll() >= 0, "at once");
  assert.equal(queue.usedLength, 4);
  assert.equal(begun.readText(), "[end of file]", "the event ends it there");
  driver.expectNothing();
  assert.equal(queue.poll(), -1, "once, of two restores");
  post(); // it has looked at it
  // Who has connected meanwhile has waited.
  const { srcPort } = driver.expect({ op: REQUEST, dstPort: PORT });
  driver.expectNothing();
  const from = { srcCid: OTHER_CID, srcPort: PORT };
  driver.send({ ...from, op: RESPONSE, dstPort: srcPort });
  assert.equal(program.readText(), `OK ${srcPort}\n`);
});

Deno.test("vsock saved: a driver that takes the event's queue away is not waited for", () => {
  using host = new OtherHost();
  using driver = new VsockDriver({ features: [Feature.RING_RESET] });
  goOn(driver, "restored", () => host.device(OTHER_CID));
  using program = HostProgram.connect(host.path);
  program.write(`CONNECT ${PORT}\n`);
  driver.look();
  driver.expectNothing();
  driver.set(MmioRegister.QueueSel, VsockQueue.EVENT);
  driver.set(MmioRegister.QueueReset, 1);
  assert.equal(driver.get(MmioRegister.QueueReset), 0);
  driver.ring(VsockQueue.RECEIVE);
  driver.expect({ op: REQUEST, dstPort: PORT });
});

Deno.test("vsock saved: an event that can't be is refused", () => {
  using host = new OtherHost();
  for (const heardAt of [-1, 0.5, 17, 1e9, "1", null, {}]) {
    using driver = new VsockDriver();
    const device = host.device(OTHER_CID);
    const restored = () =>
      goOn(driver, "restored", () =>
        Object.assign(device, {
          restore: () => Vsock.prototype.restore.call(device, { heardAt }),
        }));
    assert.throws(restored, /saved with an event that can't be/);
  }
});
