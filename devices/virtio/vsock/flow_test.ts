/** The socket device under load: many streams, slow programs, credit. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { MiB } from "../../../guest/layout.ts";
import { Random } from "../../../guest/testing/random.ts";
import { HostProgram, HostServer } from "../../backends/testing/vsock.ts";
import { VSOCK_BUFFER } from "./credit.ts";
import { ShutdownFlag, VsockOp } from "./spec.ts";
import { type Packet, VsockDriver } from "../testing/vsock.ts";

const { REQUEST, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE } = VsockOp;
const PORT = 52;
const STREAMS = 64;
const GUEST_BUFFER = 64 * 1024;
/** The longest packet that a guest sends. */
const PACKET = 16 * 1024;

function sha256(chunks: Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}

/** A guest's program that sends back what it gets, within both credits. */
class EchoingGuest {
  readonly #driver: VsockDriver;
  readonly #ends: { srcPort: number; dstPort: number };
  #pending: Uint8Array[] = []; // received, not sent back
  #received = 0;
  #sent = 0;
  #room = 0; // that the device has for us
  #ended = false;
  done = false;

  constructor(driver: VsockDriver, guestPort: number, hostPort: number) {
    this.#driver = driver;
    this.#ends = { srcPort: guestPort, dstPort: hostPort };
  }

  receive(packet: Required<Packet>): void {
    this.#room = packet.bufAlloc - (this.#sent - packet.fwdCnt);
    if (packet.op === RW) {
      this.#received += packet.payload.length;
      this.#pending.push(packet.payload);
    } else if (packet.op === SHUTDOWN) {
      this.#ended ||= (packet.flags & ShutdownFlag.SEND) !== 0;
    } else if (packet.op === RST) {
      this.done = true;
    }
  }

  /** Sends back what the credit allows. */
  step(): void {
    if (this.done) return;
    while (this.#pending.length > 0 && this.#room > 0) {
      const first = this.#pending.shift()!;
      const most = Math.min(this.#room, PACKET);
      const payload = first.subarray(0, most);
      if (payload.length < first.length) {
        this.#pending.unshift(first.subarray(payload.length));
      }
      this.#sent += payload.length;
      this.#room -= payload.length;
      this.#send({ op: RW, payload });
    }
    if (this.#ended && this.#pending.length === 0) {
      this.#ended = false;
      this.#send({ op: SHUTDOWN, flags: ShutdownFlag.BOTH });
    }
  }

  #send(packet: Pick<Packet, "op" | "flags" | "payload">): void {
    const left = this.#pending.reduce((sum, { length }) => sum + length, 0);
    this.#driver.send({
      ...this.#ends,
      ...packet,
      bufAlloc: GUEST_BUFFER,
      fwdCnt: (this.#received - left) >>> 0,
    });
  }
}

Deno.test("vsock: 64 streams at once, 1 MiB each way, every hash right", () => {
  using driver = new VsockDriver({ awake: true, buffers: 100 });
  using server = new HostServer(`${driver.path}_${PORT}`);
  const random = new Random(11);
  const guests = new Map<number, EchoingGuest>();
  const hosts: {
    program: HostProgram;
    data: Uint8Array;
    sent: number;
    got: Uint8Array[];
    ended: boolean;
  }[] = [];
  const add = (program: HostProgram) =>
    hosts.push({
      program,
      data: random.bytes(MiB),
      sent: 0,
      got: [],
      ended: false,
    });
  // Half of them from each side.
  for (let i = 0; i < STREAMS / 2; i++) {
    const { program, hostPort } = driver.connectFromHost(1000 + i);
    guests.set(1000 + i, new EchoingGuest(driver, 1000 + i, hostPort));
    add(program);
    driver.send({ op: REQUEST, srcPort: 2000 + i, dstPort: PORT });
    driver.expect({ op: RESPONSE, dstPort: 2000 + i });
    guests.set(2000 + i, new EchoingGuest(driver, 2000 + i, PORT));
    add(server.accept()!);
  }
  const end = Date.now() + 120_000;
  while (hosts.some(({ ended }) => !ended)) {
    assert.ok(Date.now() < end, "it goes on");
    for (const host of hosts) {
      if (host.sent < MiB) {
        host.sent += host.program.write(
          host.data.subarray(host.sent, host.sent + 50_000),
        );
        if (host.sent === MiB) host.program.endWriting();
      }
      if (host.ended) continue;
      const got = host.program.read();
      if (got === "end of file") host.ended = true;
      else assert.notEqual(got, "reset");
      if (typeof got !== "string") host.got.push(got);
    }
    for (const packet of driver.look().splice(0)) {
      guests.get(packet.dstPort)!.receive(packet);
    }
    for (const guest of guests.values()) guest.step();
  }
  for (const { data, got, program } of hosts) {
    assert.equal(sha256(got), sha256([data]));
    program.close();
  }
  for (const packet of driver.look().splice(0)) {
    guests.get(packet.dstPort)!.receive(packet);
  }
  for (const [port, guest] of guests) assert.ok(guest.done, `${port}: RST`);
});

/** Sends until neither the program's socket nor the device takes more. */
function fill(
  driver: VsockDriver,
  ends: { srcPort: number; dstPort: number },
): number {
  let sent = 0;
  let forwarded = 0;
  while (sent - forwarded + PACKET <= VSOCK_BUFFER) {
    const payload = new Uint8Array(PACKET).fill(sent >> 14);
    driver.send({ op: RW, ...ends, payload });
    sent += PACKET;
    for (const packet of driver.look().splice(0)) {
      assert.equal(packet.op, CREDIT_UPDATE);
      forwarded = packet.fwdCnt;
    }
    assert.ok(sent < 64 * MiB, "its end is in sight");
  }
  assert.ok(sent > VSOCK_BUFFER);
  return sent;
}

Deno.test("vsock: a program that doesn't read holds nobody up, and loses nothing", () => {
  using driver = new VsockDriver();
  const slow = driver.connectFromHost(1);
  const quick = driver.connectFromHost(2);
  const slowEnds = { srcPort: 1, dstPort: slow.hostPort };
  const quickEnds = { srcPort: 2, dstPort: quick.hostPort };
  const sent = fill(driver, slowEnds);
  for (let i = 0; i < 300; i++) {
    const text = `message ${i}`;
    const payload = new TextEncoder().encode(text);
    driver.send({ op: RW, ...quickEnds, payload });
    assert.equal(quick.program.readText(), text);
    driver.look().length = 0;
  }
  // The guest is done: what it has sent still arrives.
  driver.send({ op: SHUTDOWN, ...slowEnds, flags: ShutdownFlag.BOTH });
  driver.expect({ op: RST, dstPort: 1 });
  let read = 0;
  for (;;) {
    const got = slow.program.read(10_000);
    if (got === "end of file") break;
    assert.notEqual(got, "reset");
    if (typeof got === "string") {
      driver.look();
    } else {
      for (const byte of got) assert.equal(byte, (read++ >> 14) & 0xff);
    }
  }
  assert.equal(read, sent);
  slow.program.close();
  quick.program.close();
});

Deno.test("vsock: a slow program gets on with its stream when it reads again", () => {
  using driver = new VsockDriver();
  const { program, hostPort } = driver.connectFromHost(PORT);
  const ends = { srcPort: PORT, dstPort: hostPort };
  const sent = fill(driver, ends);
  let read = 0;
  while (read < sent) {
    const got = program.read();
    if (typeof got === "string") driver.look();
    else read += got.length;
  }
  // Its credit is back, without a request.
  driver.look();
  const last = driver.received.at(-1)!;
  assert.equal(last.op, CREDIT_UPDATE);
  assert.ok(sent - last.fwdCnt <= VSOCK_BUFFER / 2);
  driver.received.length = 0;
  const payload = Uint8Array.of(1, 2, 3);
  driver.send({ op: RW, ...ends, payload });
  assert.deepEqual(program.read(), payload);
  program.close();
});

Deno.test("vsock: more than the credit is RST, and only for that stream (§5.10.6.3)", () => {
  using driver = new VsockDriver();
  const good = driver.connectFromHost(1);
  const bad = driver.connectFromHost(2);
  const ends = { srcPort: 2, dstPort: bad.hostPort };
  const payload = new Uint8Array(PACKET);
  // Credit updates are not looked at.
  for (let sent = 0; sent <= 64 * MiB; sent += PACKET) {
    driver.queuePacket({ op: RW, ...ends, payload });
    driver.ring(1);
    const ops = driver.look().splice(0).map(({ op }) => op);
    if (ops.includes(RST)) break;
    assert.ok(sent < 64 * MiB, "it is noticed");
  }
  driver.send({ op: RW, srcPort: 1, dstPort: good.hostPort, payload });
  assert.equal((good.program.read() as Uint8Array).length, PACKET);
  good.program.close();
  bad.program.close();
});

Deno.test("vsock: one busy stream leaves room for others' turns", () => {
  using driver = new VsockDriver({ buffers: 4 });
  const busy = driver.connectFromHost(1);
  const other = driver.connectFromHost(2);
  busy.program.write(new Uint8Array(100_000));
  other.program.write("hello");
  driver.loop.turn(0);
  driver.look();
  const turns = driver.received.map(({ dstPort }) => dstPort);
  // A few that were under way before the other program had said anything.
  assert.ok(turns.indexOf(2) <= 8, `${turns}`);
  busy.program.close();
  other.program.close();
});

Deno.test("vsock: receive buffers of any shape, header and data split anywhere", () => {
  for (const lengths of [[4140], [44, 1], [1, 43, 100], [10, 60], [45]]) {
    using driver = new VsockDriver({ lengths, buffers: 20 });
    const { program, hostPort } = driver.connectFromHost(PORT);
    const data = new Random(5).bytes(700);
    program.write(data);
    driver.look();
    const got = driver.received.flatMap(({ payload }) => [...payload]);
    assert.deepEqual(Uint8Array.from(got), data, `${lengths}`);
    const ends = { srcPort: PORT, dstPort: hostPort };
    driver.send({ op: SHUTDOWN, ...ends, flags: ShutdownFlag.BOTH });
    program.close();
  }
});

Deno.test("vsock: without receive buffers nothing is lost; they may come late", () => {
  using driver = new VsockDriver({ buffers: 1 });
  const { program } = driver.connectFromHost(PORT);
  program.write("one");
  driver.look();
  driver.received.length = 0;
  using late = HostProgram.connect(driver.path);
  late.write("CONNECT 99\n");
  driver.expect({ op: REQUEST, dstPort: 99 });
  program.close();
  driver.expect({ op: SHUTDOWN });
});
