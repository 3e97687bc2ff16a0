/** The socket device on real Unix sockets (virtio 1.2 §5.10). */
import assert from "node:assert/strict";
import { Random } from "../../../guest/testing/random.ts";
import { HostProgram, HostServer } from "../../backends/testing/vsock.ts";
import { MmioRegister } from "../transport/mmio.ts";
import { ShutdownFlag, VsockFeature, VsockOp, VsockQueue } from "./spec.ts";
import { VSOCK_BUFFER } from "./credit.ts";
import { VSOCK_CONNECTIONS } from "./connections.ts";
import { CID, VsockDriver } from "../testing/vsock.ts";

const {
  REQUEST,
  RESPONSE,
  RST,
  SHUTDOWN,
  RW,
  CREDIT_UPDATE,
  CREDIT_REQUEST,
} = VsockOp;
const PORT = 52;

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("vsock: guest_cid and features (§5.10.3, §5.10.4)", () => {
  using driver = new VsockDriver();
  assert.equal(driver.get(MmioRegister.DeviceID), 19);
  assert.equal(driver.get(MmioRegister.Config), CID);
  assert.equal(driver.get(MmioRegister.Config + 4), 0);
  assert.equal(driver.state.hasFeature(VsockFeature.STREAM), true);
  const [low] = driver.offered;
  assert.equal((low >> VsockFeature.SEQPACKET) & 1, 0);
});

Deno.test("vsock: a host program connects, both talk, the guest closes", () => {
  using driver = new VsockDriver();
  using program = HostProgram.connect(driver.path);
  program.write(`CONNECT ${PORT}\nhello`);
  const request = driver.expect({
    op: REQUEST,
    srcCid: 2,
    dstCid: CID,
    dstPort: PORT,
    type: 1,
    len: 0,
    bufAlloc: VSOCK_BUFFER,
    fwdCnt: 0,
  });
  const ends = { srcPort: PORT, dstPort: request.srcPort };
  assert.equal(program.readText(), "[nothing yet]");
  driver.send({ op: RESPONSE, ...ends });
  assert.equal(program.readText(), `OK ${request.srcPort}\n`);
  assert.equal(text(driver.expect({ op: RW, len: 5 }).payload), "hello");
  driver.send({ op: RW, ...ends, payload: bytes("welcome") });
  assert.equal(program.readText(), "welcome");
  driver.send({ op: SHUTDOWN, ...ends, flags: ShutdownFlag.BOTH });
  driver.expect({ op: RST, srcPort: request.srcPort, dstPort: PORT });
  assert.equal(program.readText(), "[end of file]");
  assert.throws(() => program.write("late"), /EPIPE/);
  driver.expectNothing();
});

Deno.test("vsock: the guest connects to a host program, which closes", () => {
  using driver = new VsockDriver();
  using server = new HostServer(`${driver.path}_${PORT}`);
  driver.send({ op: REQUEST, srcPort: 1024, dstPort: PORT });
  driver.expect({
    op: RESPONSE,
    srcPort: PORT,
    dstPort: 1024,
    bufAlloc: VSOCK_BUFFER,
  });
  using program = server.accept()!;
  driver.send({ op: RW, srcPort: 1024, dstPort: PORT, payload: bytes("ask") });
  assert.equal(program.readText(), "ask");
  program.write("answer");
  program.close();
  assert.equal(text(driver.expect({ op: RW }).payload), "answer");
  driver.expect({ op: SHUTDOWN, flags: ShutdownFlag.BOTH });
  driver.send({ op: RST, srcPort: 1024, dstPort: PORT });
  driver.expectNothing();
  // The same ports again: nothing of the old connection is left.
  driver.send({ op: REQUEST, srcPort: 1024, dstPort: PORT });
  driver.expect({ op: RESPONSE });
});

Deno.test("vsock: nobody listens: RST", () => {
  using driver = new VsockDriver();
  driver.send({ op: REQUEST, srcPort: 1024, dstPort: PORT });
  driver.expect({ op: RST, srcPort: PORT, dstPort: 1024 });
  using program = HostProgram.connect(driver.path);
  program.write(`CONNECT ${PORT}\n`);
  const { srcPort } = driver.expect({ op: REQUEST });
  driver.send({ op: RST, srcPort: PORT, dstPort: srcPort });
  assert.equal(program.readText(), "[end of file]");
  driver.expectNothing();
});

Deno.test("vsock: a first line that is not CONNECT <port> ends the connection", () => {
  using driver = new VsockDriver();
  const lines = [
    "HELLO\n",
    "CONNECT\n",
    "CONNECT x\n",
    "CONNECT -1\n",
    "CONNECT 4294967296\n",
    "CONNECT 00000000000000000000052\n",
    "a line without end, longer than any port",
  ];
  for (const line of lines) {
    using program = HostProgram.connect(driver.path);
    driver.look();
    program.write(line);
    driver.expectNothing();
    assert.match(program.readText(), /end of file|reset/, line);
  }
});

Deno.test("vsock: the first line may come in pieces", () => {
  using driver = new VsockDriver();
  using program = HostProgram.connect(driver.path);
  for (const piece of ["CON", "NECT ", "5", "2"]) {
    program.write(piece);
    driver.expectNothing();
  }
  program.write("\n");
  driver.expect({ op: REQUEST, dstPort: 52 });
});

Deno.test("vsock: programs that came before the driver are served", () => {
  using driver = new VsockDriver();
  driver.reset();
  using program = HostProgram.connect(driver.path);
  program.write(`CONNECT ${PORT}\n`);
  driver.loop.turn(0);
  driver.restart();
  driver.expect({ op: REQUEST, dstPort: PORT });
});

Deno.test("vsock: each direction ends for itself (§5.10.6.5)", () => {
  using driver = new VsockDriver();
  const { program, hostPort } = driver.connectFromHost(PORT);
  using _ = program;
  const ends = { srcPort: PORT, dstPort: hostPort };
  program.write("last words");
  program.endWriting();
  assert.equal(text(driver.expect({ op: RW }).payload), "last words");
  driver.expect({ op: SHUTDOWN, flags: ShutdownFlag.SEND });
  driver.send({ op: RW, ...ends, payload: bytes("still here") });
  assert.equal(program.readText(), "still here");
  driver.send({ op: SHUTDOWN, ...ends, flags: ShutdownFlag.SEND });
  assert.equal(program.readText(), "[end of file]");
  // Nobody sends any more: that is the end.
  driver.expect({ op: SHUTDOWN, flags: ShutdownFlag.BOTH });
  driver.send({ op: RST, ...ends });
  driver.expectNothing();
});

Deno.test("vsock: the guest reads no more: the program's writes fail", () => {
  using driver = new VsockDriver();
  const { program, hostPort } = driver.connectFromHost(PORT);
  using _ = program;
  const ends = { srcPort: PORT, dstPort: hostPort };
  driver.send({ op: SHUTDOWN, ...ends, flags: ShutdownFlag.RECEIVE });
  assert.throws(() => program.write("x"), /EPIPE/);
  driver.send({ op: RW, ...ends, payload: bytes("but it talks") });
  assert.equal(program.readText(), "but it talks");
  program.close();
  driver.expect({ op: SHUTDOWN, flags: ShutdownFlag.BOTH });
});

Deno.test("vsock: the program reads no more: the guest is told, and its data dropped", () => {
  using driver = new VsockDriver();
  const { program, hostPort } = driver.connectFromHost(PORT);
  using _ = program;
  const ends = { srcPort: PORT, dstPort: hostPort };
  program.endReading();
  driver.send({ op: RW, ...ends, payload: bytes("lost") });
  driver.expect({ op: SHUTDOWN, flags: ShutdownFlag.RECEIVE, fwdCnt: 4 });
  driver.send({ op: RW, ...ends, payload: bytes("lost, too") });
  program.write("I talk");
  assert.equal(
    text(driver.expect({ op: RW, fwdCnt: 13 }).payload),
    "I talk",
  );
});

Deno.test("vsock: the guest's RST ends a connection at once", () => {
  using driver = new VsockDriver();
  const { program, hostPort } = driver.connectFromHost(PORT);
  using _ = program;
  driver.send({ op: RST, srcPort: PORT, dstPort: hostPort });
  assert.equal(program.readText(), "[end of file]");
  driver.expectNothing();
});

Deno.test("vsock: a program that gives up while the guest is asked: RST", () => {
  using driver = new VsockDriver();
  const program = HostProgram.connect(driver.path);
  program.write(`CONNECT ${PORT}\n`);
  const { srcPort } = driver.expect({ op: REQUEST });
  program.close();
  driver.expect({ op: RST, srcPort, dstPort: PORT });
  // The guest's answer was under way.
  driver.send({ op: RESPONSE, srcPort: PORT, dstPort: srcPort });
  driver.expect({ op: RST });
});

Deno.test("vsock: a reset ends all streams; then it works again", () => {
  using driver = new VsockDriver();
  const { program } = driver.connectFromHost(PORT);
  driver.reset();
  assert.equal(program.readText(), "[end of file]");
  program.close();
  driver.restart();
  driver.connectFromHost(PORT).program.close();
});

Deno.test("vsock: a transport reset ends all streams and is an event (§5.10.6.7)", () => {
  using driver = new VsockDriver();
  const { program } = driver.connectFromHost(PORT);
  driver.vsock.resetTransport();
  assert.equal(program.readText(), "[end of file]");
  program.close();
  // The event waits for a buffer.
  const event = driver.room(4);
  driver.queues[VsockQueue.EVENT]!.add([event]);
  driver.ring(VsockQueue.EVENT);
  assert.equal(driver.queues[VsockQueue.EVENT]!.poll() >= 0, true);
  assert.deepEqual([...driver.bytes(event)], [0, 0, 0, 0]);
  const second = driver.room(4);
  driver.queues[VsockQueue.EVENT]!.add([second]);
  driver.ring(VsockQueue.EVENT);
  assert.equal(driver.queues[VsockQueue.EVENT]!.poll(), -1);
});

Deno.test("vsock: a program without a reader is not sent more than the guest has room for (§5.10.6.3)", () => {
  using driver = new VsockDriver();
  const program = HostProgram.connect(driver.path);
  program.write(`CONNECT ${PORT}\n`);
  const { srcPort } = driver.expect({ op: REQUEST });
  const ends = { srcPort: PORT, dstPort: srcPort, bufAlloc: 6000 };
  driver.send({ op: RESPONSE, ...ends });
  const data = new Random(3).bytes(10_000);
  program.write(data);
  driver.look();
  const sizes = () => driver.received.splice(0).map(({ op, len }) => [op, len]);
  assert.deepEqual(sizes(), [[RW, 4096], [RW, 1904], [CREDIT_REQUEST, 0]]);
  driver.send({ op: CREDIT_UPDATE, ...ends, fwdCnt: 1000 });
  driver.look();
  assert.deepEqual(sizes(), [[RW, 1000], [CREDIT_REQUEST, 0]]);
  driver.send({ op: CREDIT_UPDATE, ...ends, fwdCnt: 7000 });
  driver.look();
  assert.deepEqual(sizes(), [[RW, 3000]]);
  // Counts that can't be: no credit, and no harm.
  driver.send({ op: CREDIT_UPDATE, ...ends, fwdCnt: 0x8000_0000 });
  program.write("x");
  driver.expectNothing();
  program.close();
});

Deno.test("vsock: a credit request is answered", () => {
  using driver = new VsockDriver();
  const { program, hostPort } = driver.connectFromHost(PORT);
  using _ = program;
  const ends = { srcPort: PORT, dstPort: hostPort };
  driver.send({ op: RW, ...ends, payload: bytes("12345") });
  driver.expectNothing(); // five bytes are no news
  driver.send({ op: CREDIT_REQUEST, ...ends });
  driver.expect({ op: CREDIT_UPDATE, bufAlloc: VSOCK_BUFFER, fwdCnt: 5 });
});

Deno.test("vsock: at most 512 connections; the next program waits, the guest's gets RST", () => {
  using driver = new VsockDriver();
  using server = new HostServer(`${driver.path}_${PORT}`);
  const programs: HostProgram[] = [];
  for (let i = 0; i < VSOCK_CONNECTIONS; i++) {
    driver.send({ op: REQUEST, srcPort: 1000 + i, dstPort: PORT });
    driver.expect({ op: RESPONSE, dstPort: 1000 + i });
    programs.push(server.accept()!);
  }
  driver.send({ op: REQUEST, srcPort: 9999, dstPort: PORT });
  driver.expect({ op: RST, dstPort: 9999 });
  const late = HostProgram.connect(driver.path);
  late.write("CONNECT 7\n");
  driver.expectNothing();
  driver.send({ op: RST, srcPort: 1000, dstPort: PORT });
  driver.expect({ op: REQUEST, dstPort: 7 });
  for (const program of [...programs, late]) program.close();
});

Deno.test("vsock: the socket is a file while it is open; a path in use is refused in one line", () => {
  const driver = new VsockDriver();
  const { path } = driver;
  assert.equal(Deno.statSync(path).isSocket, true);
  assert.throws(() => new HostServer(path), /exists already; remove it/);
  driver.close();
  assert.throws(() => Deno.statSync(path), Deno.errors.NotFound);
  assert.throws(() => new HostServer("/tmp/" + "x".repeat(120)), /107 bytes/);
  assert.throws(() => new HostServer("/nowhere/at/all"), /ENOENT/);
});
