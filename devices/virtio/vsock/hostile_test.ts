/** The socket device and a guest that breaks every rule. */
import assert from "node:assert/strict";
import { Random } from "../../../guest/testing/random.ts";
import { HostProgram, HostServer } from "../../backends/testing/vsock.ts";
import { behindLoads } from "../testing/race.ts";
import { VsockOp, VsockQueue } from "./spec.ts";
import { VSOCK_CONNECTIONS } from "./connections.ts";
import { VsockDriver } from "../testing/vsock.ts";

const { REQUEST, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST } =
  VsockOp;
const PORT = 52;
const hello = new TextEncoder().encode("hello");

Deno.test("vsock: a packet of another guest is dropped (§5.10.6.4)", () => {
  using driver = new VsockDriver();
  using server = new HostServer(`${driver.path}_${PORT}`);
  for (const srcCid of [0, 1, 2, 4, 2 ** 32 + 3, 2n ** 64n - 1n]) {
    driver.send({ op: REQUEST, srcCid, srcPort: 9, dstPort: PORT });
    driver.send({ op: RW, srcCid, srcPort: 9, dstPort: PORT, payload: hello });
  }
  driver.expectNothing();
  assert.equal(server.accept(), undefined);
});

Deno.test("vsock: what is not for the host, or no stream, is RST", () => {
  using driver = new VsockDriver();
  using server = new HostServer(`${driver.path}_${PORT}`);
  for (const dstCid of [0, 1, 3, 4, 2 ** 32 + 2]) {
    driver.send({ op: REQUEST, dstCid, srcPort: 9, dstPort: PORT });
    driver.expect({ op: RST, srcCid: dstCid, srcPort: PORT, dstPort: 9 });
  }
  for (const type of [0, 2, 3, 0xffff]) {
    driver.send({ op: REQUEST, type, srcPort: 9, dstPort: PORT });
    driver.expect({ op: RST, type, srcPort: PORT, dstPort: 9 });
  }
  assert.equal(server.accept(), undefined);
});

Deno.test("vsock: packets without a connection are RST; an RST never is", () => {
  using driver = new VsockDriver();
  const ops = [0, RESPONSE, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST, 8];
  for (const op of [...ops, 0xffff]) {
    driver.send({ op, srcPort: 9, dstPort: PORT });
    driver.expect({ op: RST, srcPort: PORT, dstPort: 9, len: 0 });
  }
  driver.send({ op: RST, srcPort: 9, dstPort: PORT });
  driver.expectNothing();
});

Deno.test("vsock: an op that doesn't fit the connection's state is RST, and ends it", () => {
  using driver = new VsockDriver();
  for (const op of [0, REQUEST, RESPONSE, 8, 0xffff]) {
    const { program, hostPort } = driver.connectFromHost(PORT);
    driver.send({ op, srcPort: PORT, dstPort: hostPort });
    driver.expect({ op: RST, srcPort: hostPort, dstPort: PORT });
    assert.equal(program.readText(), "[end of file]");
    program.close();
  }
  for (const op of [0, REQUEST, SHUTDOWN, RW, CREDIT_UPDATE]) {
    using program = HostProgram.connect(driver.path);
    program.write(`CONNECT ${PORT}\n`);
    const { srcPort } = driver.expect({ op: REQUEST });
    driver.send({ op, srcPort: PORT, dstPort: srcPort });
    driver.expect({ op: RST });
    assert.equal(program.readText(), "[end of file]");
  }
});

Deno.test("vsock: a length beyond the chain is RST; less than the chain is what counts", () => {
  using driver = new VsockDriver();
  for (const len of [6, 45, 2 ** 31, 2 ** 32 - 1]) {
    const { program, hostPort } = driver.connectFromHost(PORT);
    const ends = { srcPort: PORT, dstPort: hostPort };
    driver.send({ op: RW, ...ends, len, payload: hello });
    driver.expect({ op: RST });
    assert.equal(program.readText(), "[end of file]");
    program.close();
  }
  const { program, hostPort } = driver.connectFromHost(PORT);
  const ends = { srcPort: PORT, dstPort: hostPort };
  driver.send({ op: RW, ...ends, len: 4, payload: hello });
  assert.equal(program.readText(), "hell");
  driver.send({ op: RW, ...ends, len: 0, payload: hello });
  driver.send({ op: CREDIT_UPDATE, ...ends, len: 99, payload: hello });
  driver.expectNothing();
  program.close();
});

Deno.test("vsock: data after the guest's own end is RST", () => {
  using driver = new VsockDriver();
  const { program, hostPort } = driver.connectFromHost(PORT);
  const ends = { srcPort: PORT, dstPort: hostPort };
  driver.send({ op: SHUTDOWN, ...ends, flags: 2 });
  driver.send({ op: RW, ...ends, payload: hello });
  driver.expect({ op: RST });
  program.close();
});

Deno.test("vsock: a header that isn't whole is dropped", () => {
  using driver = new VsockDriver();
  const queue = driver.queues[VsockQueue.TRANSMIT]!;
  for (const length of [1, 16, 43]) {
    queue.add([driver.buffer(new Uint8Array(length))]);
    queue.add([driver.room(64)]); // nothing to read at all
  }
  driver.ring(VsockQueue.TRANSMIT);
  driver.expectNothing();
  let used = 0;
  while (queue.poll() >= 0) used++;
  assert.equal(used, 6);
  driver.connectFromHost(PORT).program.close();
});

Deno.test("vsock: a receive buffer without room needs a reset", () => {
  using driver = new VsockDriver({ buffers: 0 });
  driver.post(1, 44);
  driver.send({ op: RW, srcPort: 9, dstPort: PORT });
  assert.equal(driver.status & 64, 64);
  assert.match(driver.messages.join(), /receive buffer without room/);
});

Deno.test("vsock: a flood of ports costs 512 connections at most, and heals", () => {
  using driver = new VsockDriver({ buffers: 100 });
  using server = new HostServer(`${driver.path}_${PORT}`);
  let accepted = 0;
  const programs: HostProgram[] = [];
  for (let port = 0; port < 5000; port++) {
    driver.send({ op: REQUEST, srcPort: port, dstPort: PORT });
    const program = server.accept();
    if (program) programs.push(program);
    for (const { op } of driver.look().splice(0)) {
      if (op === RESPONSE) accepted++;
    }
  }
  assert.equal(accepted, VSOCK_CONNECTIONS);
  for (const program of programs) program.close();
  // The guest doesn't answer: nothing of it stays open on the host.
  driver.look().length = 0;
  driver.restart();
  driver.connectFromHost(PORT).program.close();
});

Deno.test("vsock: answers that nobody takes are bounded", () => {
  using driver = new VsockDriver({ buffers: 1 });
  for (let port = 0; port < 2000; port++) {
    driver.queuePacket({ op: RW, srcPort: port, dstPort: 1 });
    if (port % 100 === 99) driver.ring(VsockQueue.TRANSMIT);
  }
  const answers = driver.look().length;
  assert.ok(answers >= 256 && answers < 600, `${answers}`);
});

for (const awake of [false, true]) {
  Deno.test(`vsock (${awake ? "polled" : "not polled"}): random packets do no harm`, () => {
    using driver = new VsockDriver({ awake });
    using server = new HostServer(`${driver.path}_1`);
    const random = new Random(awake ? 21 : 22);
    const programs: HostProgram[] = [];
    const hostPorts = [1, 2];
    for (let i = 0; i < 20_000; i++) {
      if (random.oneIn(40)) {
        const program = HostProgram.connect(driver.path);
        program.write(`CONNECT ${random.below(4)}\n${"x".repeat(i % 999)}`);
        programs.push(program);
      }
      const accepted = server.accept();
      if (accepted) programs.push(accepted);
      if (programs.length > 0 && random.oneIn(10)) {
        const at = random.below(programs.length);
        const program = programs[at]!;
        try {
          if (random.oneIn(2)) program.read();
          else program.write(random.bytes(random.below(5000)));
          if (random.oneIn(10)) program.endWriting();
        } catch { /* it was reset */ }
        if (random.oneIn(4)) {
          program.close();
          programs.splice(at, 1);
        }
      }
      const payload = random.bytes(random.below(random.oneIn(20) ? 9999 : 50));
      driver.send({
        op: random.oneIn(30) ? random.below(65536) : random.below(9),
        srcPort: random.below(4),
        dstPort: random.of(hostPorts),
        srcCid: random.oneIn(50) ? random.below(9) : 3,
        dstCid: random.oneIn(50) ? random.below(9) : 2,
        type: random.oneIn(50) ? random.below(9) : 1,
        flags: random.oneIn(9) ? random.below(2 ** 32) : random.below(4),
        bufAlloc: random.oneIn(9) ? random.below(2 ** 32) : 4096,
        fwdCnt: random.oneIn(3) ? random.below(2 ** 32) : 0,
        len: random.oneIn(20) ? random.below(2 ** 32) : payload.length,
        payload,
      });
      for (const packet of driver.look().splice(0)) {
        if (packet.op === REQUEST) hostPorts[2 + i % 8] = packet.srcPort;
        for (let p = 0; p < hostPorts.length; p++) hostPorts[p] ??= 1;
      }
      if (driver.status !== 0xf) driver.restart();
    }
    for (const program of programs) program.close();
    assert.deepEqual(driver.messages, []);
    driver.restart();
    driver.connectFromHost(PORT).program.close();
  });
}

Deno.test("vsock: event buffers without room, posted without end, don't hold the device (§5.10.6.7)", () => {
  using driver = new VsockDriver();
  const queue = driver.queues[VsockQueue.EVENT]!;
  const none = { ...driver.room(4), writable: false };
  queue.add([none]);
  let posted = 0;
  {
    using _race = behindLoads(() => {
      if (++posted > 10_000) throw new Error("the device doesn't let go");
      while (queue.poll() >= 0);
      queue.add([none]);
    });
    driver.vsock.resetTransport();
  }
  // Later, with room, the event arrives.
  while (queue.poll() >= 0);
  const event = driver.room(4);
  queue.add([event]);
  driver.ring(VsockQueue.EVENT);
  let last = 0;
  while (queue.poll() >= 0) last = queue.usedLength;
  assert.equal(last, 4);
});
