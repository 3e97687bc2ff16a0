/**
 * For tests of the socket device: packets as a driver sees them (virtio 1.2
 * §5.10.6).
 *
 * @module
 */
import assert from "node:assert/strict";
import { UnixListener } from "../../../ffi/unix_socket.ts";
import { MiB } from "../../../guest/layout.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { HostProgram } from "../../backends/testing/vsock.ts";
import {
  UnixSockets,
  type UnixSocketsHandle,
} from "../../backends/vsock/unix_sockets.ts";
import { MockDriver, type StartOptions } from "./mod.ts";
import type { DriverBuffer } from "./queue.ts";
import { Vsock } from "../vsock/vsock.ts";
import { VsockOp, VsockQueue } from "../vsock/spec.ts";

/** The guest's context id. */
export const CID = 3;
const HEADER = 44;

/** A packet, in either direction. What is left out has the usual value. */
export interface Packet {
  /** One of `VsockOp`. */
  op: number;
  /** Ports. */
  srcPort: number;
  dstPort: number;
  /** Context ids. */
  srcCid?: number | bigint;
  dstCid?: number | bigint;
  /** Type of socket; 1. */
  type?: number;
  /** Flags; 0. */
  flags?: number;
  /** Credit; a buffer of 256 KiB, nothing taken. */
  bufAlloc?: number;
  fwdCnt?: number;
  /** What `len` says; default: the payload's. */
  len?: number;
  /** Data. */
  payload?: Uint8Array;
}

/** How a {@linkcode VsockDriver} is set up. */
export interface VsockDriverOptions extends StartOptions {
  /** The test plays the thread's polling; default: it goes to sleep. */
  awake?: boolean;
  /** Receive buffers that are posted at the start; default 64. */
  buffers?: number;
  /** Their descriptors' lengths; default: a header's, and 4096. */
  lengths?: number[];
  /** Makes the device on the listening socket. */
  make?: (sockets: UnixSocketsHandle) => Vsock;
}

/** A driver of one socket device, whose host end is in a folder of its own. */
export class VsockDriver extends MockDriver {
  /** Where programs connect. */
  readonly path: string;
  /** The device. */
  readonly vsock: Vsock;
  /** Packets that came and were not looked at. */
  readonly received: Required<Packet>[] = [];
  readonly #dir: string;
  readonly #listener: UnixListener;
  readonly #ownMemory: GuestMemory;
  readonly #options: VsockDriverOptions;
  readonly #posted = new Map<number, DriverBuffer[]>();
  readonly #sendRoom: DriverBuffer[] = [];
  readonly #sending = new Map<number, DriverBuffer>();

  /** A device and its sockets, started. */
  constructor(options: VsockDriverOptions = {}) {
    const dir = Deno.makeTempDirSync({ prefix: "vireo-vsock-" });
    const listener = new UnixListener(`${dir}/v.sock`, "vsock");
    const { make = (handle) => new Vsock(CID, new UnixSockets(handle)) } =
      options;
    const vsock = make(listener);
    const memory = GuestMemory.allocate(32 * MiB, { hugePages: false });
    super(vsock, { memory, awake: options.awake });
    this.path = listener.path;
    this.vsock = vsock;
    this.#dir = dir;
    this.#listener = listener;
    this.#ownMemory = memory;
    this.#options = options;
    this.restart();
  }

  /** Resets the device and starts it, with receive buffers. */
  restart(): void {
    this.#posted.clear();
    this.#sending.clear();
    this.#sendRoom.length = 0;
    this.received.length = 0;
    this.start(this.#options);
    const { buffers = 64, lengths = [HEADER, 4096] } = this.#options;
    this.post(buffers, ...lengths);
  }

  /** Posts receive buffers. */
  post(count: number, ...lengths: number[]): void {
    for (let i = 0; i < count; i++) {
      this.#post(lengths.map((length) => this.room(length)));
    }
    this.kick(VsockQueue.RECEIVE);
  }

  /** Sends a packet: header and payload in one or two descriptors. */
  send(packet: Packet): void {
    this.queuePacket(packet);
    this.ring(VsockQueue.TRANSMIT);
  }

  /** Makes a packet available; rings no doorbell. */
  queuePacket(packet: Packet): void {
    this.#reclaim();
    const payload = packet.payload ?? new Uint8Array();
    const bytes = new Uint8Array(HEADER + payload.length);
    bytes.set(header(packet, payload.length));
    bytes.set(payload, HEADER);
    const room = this.#sendRoom.findIndex((r) => r.length >= bytes.length);
    const buffer = room < 0
      ? { address: this.allocate(bytes.length), length: bytes.length }
      : this.#sendRoom.splice(room, 1)[0]!;
    this.memory.write(buffer.address, bytes);
    const head = this.queues[VsockQueue.TRANSMIT]!.add([
      { address: buffer.address, length: HEADER },
      ...(payload.length > 0
        ? [{ address: buffer.address + HEADER, length: payload.length }]
        : []),
    ]);
    if (head < 0) throw new Error("the transmit queue is full");
    this.#sending.set(head, buffer);
  }

  /** Lets the device's thread look, and takes what has come. */
  look(): Required<Packet>[] {
    // As often as there is something: one look may lead to another.
    do this.#take(); while (this.turn() > 0 || this.#take() > 0);
    return this.received;
  }

  /** The one packet that has come, which is checked and taken. */
  expect(expected: Partial<Packet>): Required<Packet> {
    this.look();
    const packet = this.received.shift();
    assert.ok(packet, `no packet, but op ${expected.op} is expected`);
    const actual = Object.fromEntries(
      Object.keys(expected).map((key) => [key, packet[key as keyof Packet]]),
    );
    assert.deepEqual(actual, expected);
    return packet;
  }

  /** Nothing has come. */
  expectNothing(): void {
    assert.deepEqual(this.look(), []);
  }

  /** A program on the host that is connected to `port`, and its own port. */
  connectFromHost(port: number): { program: HostProgram; hostPort: number } {
    const program = HostProgram.connect(this.path);
    program.write(`CONNECT ${port}\n`);
    const { REQUEST, RESPONSE } = VsockOp;
    const { srcPort } = this.expect({ op: REQUEST, dstPort: port });
    this.send({ op: RESPONSE, srcPort: port, dstPort: srcPort });
    assert.equal(program.readText(), `OK ${srcPort}\n`);
    return { program, hostPort: srcPort };
  }

  override close(): void {
    super.close();
    this.#ownMemory.free();
    this.#listener[Symbol.dispose]();
    Deno.removeSync(this.#dir, { recursive: true });
  }

  #post(buffers: DriverBuffer[]): void {
    const head = this.queues[VsockQueue.RECEIVE]!.add(buffers);
    if (head < 0) throw new Error("the receive queue is full");
    this.#posted.set(head, buffers);
  }

  /** Takes what has come, and posts the buffers anew. */
  #take(): number {
    const queue = this.queues[VsockQueue.RECEIVE];
    if (queue === undefined) return 0;
    let packets = 0;
    for (let head = queue.poll(); head >= 0; head = queue.poll(), packets++) {
      const buffers = this.#posted.get(head)!;
      this.#posted.delete(head);
      const bytes = new Uint8Array(queue.usedLength);
      let at = 0;
      for (const buffer of buffers) {
        const part = this.bytes(buffer).subarray(0, bytes.length - at);
        bytes.set(part, at);
        at += part.length;
      }
      this.received.push(parse(bytes));
      this.#post(buffers);
    }
    if (packets > 0) this.kick(VsockQueue.RECEIVE);
    return packets;
  }

  #reclaim(): void {
    const queue = this.queues[VsockQueue.TRANSMIT]!;
    for (let head = queue.poll(); head >= 0; head = queue.poll()) {
      this.#sendRoom.push(this.#sending.get(head)!);
      this.#sending.delete(head);
    }
  }
}

function header(packet: Packet, payload: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(HEADER));
  view.setBigUint64(0, BigInt(packet.srcCid ?? CID), true);
  view.setBigUint64(8, BigInt(packet.dstCid ?? 2), true);
  view.setUint32(16, packet.srcPort, true);
  view.setUint32(20, packet.dstPort, true);
  view.setUint32(24, packet.len ?? payload, true);
  view.setUint16(28, packet.type ?? 1, true);
  view.setUint16(30, packet.op, true);
  view.setUint32(32, packet.flags ?? 0, true);
  view.setUint32(36, packet.bufAlloc ?? 256 * 1024, true);
  view.setUint32(40, packet.fwdCnt ?? 0, true);
  return new Uint8Array(view.buffer);
}

function parse(bytes: Uint8Array<ArrayBuffer>): Required<Packet> {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return {
    srcCid: Number(view.getBigUint64(0, true)),
    dstCid: Number(view.getBigUint64(8, true)),
    srcPort: view.getUint32(16, true),
    dstPort: view.getUint32(20, true),
    len: view.getUint32(24, true),
    type: view.getUint16(28, true),
    op: view.getUint16(30, true),
    flags: view.getUint32(32, true),
    bufAlloc: view.getUint32(36, true),
    fwdCnt: view.getUint32(40, true),
    payload: bytes.slice(HEADER),
  };
}
