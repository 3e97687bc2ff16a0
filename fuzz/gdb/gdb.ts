/**
 * Streams of bytes for gdb's protocol, and what must hold whatever they are: no
 * packet throws, each has at most one answer that is a right frame, nothing is
 * asked of the machine before the first right packet, and when the stream ends,
 * the machine is let go once.
 *
 * @module
 */
import assert from "node:assert/strict";
import { VireoError } from "../../ffi/error.ts";
import type { HardwareStop } from "../../ffi/kvm/guest_debug.ts";
import type { Random } from "../../guest/testing/random.ts";
import { eachSeed } from "../seeds.ts";
import { framed, FrameReader, PACKET_MAX } from "../../monitor/gdb/packets.ts";
import type { GdbRegister } from "../../monitor/gdb/registers.ts";
import { GdbSession } from "../../monitor/gdb/session.ts";
import type { GdbTarget, StopReply } from "../../monitor/gdb/target.ts";

/** What became of the streams. */
export interface Counts {
  /** Answers that gdb would take for one. */
  answers: number;
  /** Streams that were ended as no debugger's. */
  ended: number;
  /** Accesses to the machine. */
  accesses: number;
}

/** Packets to change. */
const PACKETS = [
  ...["qSupported:multiprocess+;swbreak+", "QStartNoAckMode", "?", "g", "p10"],
  ...[
    "G00",
    "P0=1122334455667788",
    "P10=00",
    "m100000,20",
    "mffffffff,ffffffff",
  ],
  ...["M100000,2:0102", "X100000,2:ab", "Z0,100000,1", "Z2,1000,8", "z1,0,1"],
  ...[
    "vCont?",
    "vCont;c",
    "vCont;s:1;c",
    "c",
    "s",
    "vCont;C05:-1",
    "Hg1",
    "Hc-1",
  ],
  ...[
    "T1",
    "qfThreadInfo",
    "qsThreadInfo",
    "qThreadExtraInfo,1",
    "qC",
    "D",
    "k",
  ],
  ...["qXfer:features:read:target.xml:0,ffb", "qRcmd,68656c70", "vKill;1"],
  ...["qAttached", "qSymbol::", "vMustReplyEmpty", "x0,0", "\x7d\x03"],
];

/** A machine that only does as if; it stops as soon as it has been let go. */
class MockTarget implements GdbTarget {
  readonly threads = [1, 2];
  accesses = 0;
  attached = 0;
  detached = 0;

  attach(): Promise<void> {
    this.attached++;
    return Promise.resolve();
  }

  detach(): Promise<void> {
    this.detached++;
    return Promise.resolve();
  }

  kill(): Promise<void> {
    return this.#access(undefined);
  }

  about(): Promise<string> {
    return this.#access("vCPU");
  }

  registers(): Promise<Uint8Array> {
    return this.#access(new Uint8Array(64));
  }

  setRegisters(): Promise<void> {
    return this.#access(undefined);
  }

  register(_thread: number, { bits }: GdbRegister): Promise<Uint8Array> {
    return this.#access(new Uint8Array(bits / 8));
  }

  setRegister(): Promise<void> {
    return this.#refuse();
  }

  read(_thread: number, _address: bigint, length: number): Promise<Uint8Array> {
    assert.ok(length <= PACKET_MAX / 2, `${length}`);
    return this.#access(new Uint8Array(length));
  }

  write(_thread: number, _at: bigint, bytes: Uint8Array): Promise<number> {
    return this.#access(bytes.length);
  }

  insert(stop: HardwareStop): Promise<void> {
    return stop.kind === "write" ? this.#refuse() : this.#access(undefined);
  }

  remove(): Promise<void> {
    return this.#access(undefined);
  }

  go(what: (thread: number) => string): Promise<StopReply> {
    const thread = this.threads.find((id) => what(id) === "step");
    return thread === undefined
      ? this.#access({ reason: "paused", thread: 1 })
      : this.#access({ reason: "step", thread });
  }

  interrupt(): Promise<void> {
    return this.#access(undefined);
  }

  command(words: string): Promise<string> {
    return this.#access(words);
  }

  #access<T>(value: T): Promise<T> {
    assert.equal(this.attached, 1, "nothing is asked before a right packet");
    assert.equal(this.detached, 0, "nothing is asked after the end");
    this.accesses++;
    return Promise.resolve(value);
  }

  #refuse(): Promise<never> {
    this.#access(undefined);
    return Promise.reject(new VireoError("not here"));
  }
}

/** Runs the streams of `count` seeds from `first` on. */
export async function fuzzGdb(first: number, count: number): Promise<Counts> {
  const counts: Counts = { answers: 0, ended: 0, accesses: 0 };
  await eachSeed(first, count, (random) => runStream(random, counts));
  return counts;
}

async function runStream(random: Random, counts: Counts): Promise<void> {
  const target = new MockTarget();
  const answers = new FrameReader();
  let closed = 0;
  const session = new GdbSession(target, {
    send(bytes) {
      assert.equal(closed, 0, "nothing is said after the end");
      for (const { type } of answers.push(bytes)) {
        assert.ok(["packet", "ack", "nack"].includes(type), type);
        if (type === "packet") counts.answers++;
      }
    },
    close: () => closed++,
  });
  const stream = streamOf(random);
  for (let at = 0; at < stream.length;) {
    const size = 1 + random.below(random.below(4) === 0 ? 3 : stream.length);
    await session.receive(stream.subarray(at, at + size));
    at += size;
  }
  counts.ended += closed;
  await session.end();
  assert.equal(closed, 1);
  assert.equal(target.detached, target.attached);
  counts.accesses += target.accesses;
}

function streamOf(random: Random): Uint8Array<ArrayBuffer> {
  const parts: number[] = [];
  for (let i = 1 + random.below(8); i > 0; i--) {
    const packet = framed(
      changed(random, PACKETS[random.below(PACKETS.length)]!),
    );
    if (random.below(8) === 0) packet[random.below(packet.length)]! ^= 1;
    parts.push(...packet);
    if (random.below(4) === 0) parts.push(0x2b);
    if (random.below(8) === 0) parts.push(0x03);
    if (random.below(16) === 0) parts.push(random.below(256));
  }
  return Uint8Array.from(parts);
}

function changed(random: Random, packet: string): string {
  const at = random.below(packet.length + 1);
  switch (random.below(6)) {
    case 0:
      return packet.slice(0, at);
    case 1:
      return packet.slice(0, at) + String.fromCharCode(random.below(256)) +
        packet.slice(at + 1);
    case 2:
      return packet.slice(0, at) + "f".repeat(random.below(40)) +
        packet.slice(at);
    default:
      return packet;
  }
}
