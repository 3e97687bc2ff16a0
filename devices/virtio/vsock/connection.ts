/**
 * One stream between the guest and a host program: its state, its credit
 * (virtio 1.2 §5.10.6.3), and what is still to be told to the guest.
 *
 * @module
 */
import { Errno } from "../../../ffi/errno.ts";
import { Events } from "../../../ffi/epoll.ts";
import type { Watcher } from "../../runtime/event_loop.ts";
import {
  type HostStream,
  NO_PORT_YET,
} from "../../backends/vsock/host_stream.ts";
import { SendBuffer } from "../../backends/vsock/send_buffer.ts";
import type { ChainPart } from "../queue/chain.ts";
import type { DeviceContext } from "../device.ts";
import { VSOCK_BUFFER, VsockCredit } from "./credit.ts";
import { type VsockPacket } from "./packet.ts";
import { ShutdownFlag, VsockOp } from "./spec.ts";

/** Where a connection stands. */
export const VsockState = {
  /** The host program has not named its port. */
  HANDSHAKE: 0,
  /** The guest has been asked; it answers RESPONSE or RST. */
  REQUESTED: 1,
  ESTABLISHED: 2,
  /** The host program is gone, and the guest was told: it answers RST. */
  CLOSING: 3,
  /** Something was wrong: the guest is still to be told by an RST. */
  RESETTING: 4,
  /** The guest is gone; the host program has not read everything. */
  DRAINING: 5,
  CLOSED: 6,
} as const;

// What is to be told to the guest, as bits: a packet's op is its bit's number.
const Tell = {
  REQUEST: 1 << VsockOp.REQUEST,
  RESPONSE: 1 << VsockOp.RESPONSE,
  RST: 1 << VsockOp.RST,
  SHUTDOWN: 1 << VsockOp.SHUTDOWN,
  CREDIT_UPDATE: 1 << VsockOp.CREDIT_UPDATE,
  CREDIT_REQUEST: 1 << VsockOp.CREDIT_REQUEST,
} as const;

/** What a connection tells its device. */
export interface ConnectionOwner {
  /** The host program has done something; there may be packets now. */
  changed(connection: VsockConnection): void;
}

/** A stream. Moving data allocates nothing. */
export class VsockConnection implements Watcher {
  /** One of {@linkcode VsockState}. */
  state: number;
  /** The host's port. */
  hostPort = 0;
  /** The guest's port. */
  guestPort = 0;
  /** It waits for its turn to send a packet to the guest. */
  queued = false;
  readonly #stream: HostStream;
  readonly #context: DeviceContext;
  readonly #owner: ConnectionOwner;
  readonly #credit = new VsockCredit();
  #open = true; // the stream
  #tell = 0;
  #readable = false; // there may be something to read from the stream
  #hungUp = false; // the host program has closed both ways
  #hostEnded = 0; // ShutdownFlag: what the host program won't do any more
  #guestEnded = 0; // what the guest won't do any more
  #creditAsked = false;
  #buffer: SendBuffer | undefined; // since the host program stopped reading
  #watchesRoom = false;

  /** A connection on `stream` in state `HANDSHAKE`. */
  constructor(
    stream: HostStream,
    context: DeviceContext,
    owner: ConnectionOwner,
  ) {
    this.#stream = stream;
    this.#context = context;
    this.#owner = owner;
    this.state = VsockState.HANDSHAKE;
    // Edges: what was seen is remembered here, so that nothing has to be
    // switched off and on while the guest or the program is slow.
    context.watch(stream.fd, this, Events.IN | Events.ET);
    stream.again = (events) => this.onReady(events);
  }

  /** The host program wants to reach `guestPort`. */
  request(hostPort: number, guestPort: number): void {
    this.hostPort = hostPort;
    this.guestPort = guestPort;
    this.state = VsockState.REQUESTED;
    this.#tell = Tell.REQUEST;
  }

  /** The guest wants to reach the host program. */
  accept(request: VsockPacket): void {
    this.hostPort = request.dstPort;
    this.guestPort = request.srcPort;
    this.#takeCredit(request);
    this.state = VsockState.ESTABLISHED;
    this.#readable = true; // what came before now was no edge
    this.#tell = Tell.RESPONSE;
  }

  /** The port that the program asks for; see {@linkcode HostStream.readPort}. */
  readPort(): number {
    return this.state === VsockState.HANDSHAKE
      ? this.#stream.readPort()
      : NO_PORT_YET;
  }

  /** A packet of the guest; `payload` is what came with it. */
  receive(packet: VsockPacket, payload: ChainPart): void {
    if (packet.op === VsockOp.RST) return this.#endByGuest();
    this.#takeCredit(packet);
    switch (this.state) {
      case VsockState.REQUESTED:
        return packet.op === VsockOp.RESPONSE ? this.#begin() : this.reset();
      case VsockState.ESTABLISHED:
        return this.#receive(packet, payload);
      case VsockState.CLOSING:
        // What it sent before it knew is lost. It closes, too: that's agreed.
        if (packet.op === VsockOp.SHUTDOWN) this.#tell = Tell.RST;
        return;
    }
  }

  /** Something is wrong: both sides are told. */
  reset(): void {
    this.#closeStream();
    this.state = VsockState.RESETTING;
    this.#tell = Tell.RST;
  }

  /** Ends at once; nobody is told. */
  close(): void {
    this.#closeStream();
    this.state = VsockState.CLOSED;
    this.#tell = 0;
  }

  /** True when {@linkcode next} would have something. */
  get hasPackets(): boolean {
    return this.#tell !== 0 || this.#mayRead;
  }

  /**
   * Makes the next packet for the guest, its payload in `room`. False when
   * there is none after all.
   */
  next(packet: VsockPacket, room: ChainPart, guestCid: number): boolean {
    const op = this.#nextOp(room);
    if (op === VsockOp.INVALID) return false;
    const flags = op === VsockOp.SHUTDOWN ? this.#hostEnded : 0;
    packet.fromHost(guestCid, this.hostPort, this.guestPort, op, flags);
    if (op === VsockOp.RW) packet.length = room.bytes;
    this.#credit.grant(packet);
    this.#tell &= ~Tell.CREDIT_UPDATE;
    return true;
  }

  /** The stream is ready: {@linkcode Watcher.onReady}. */
  onReady(events: number): void {
    if (events & (Events.IN | Events.HUP | Events.ERR)) this.#readable = true;
    if (events & Events.HUP) this.#programGone();
    if (events & (Events.OUT | Events.HUP)) this.#drain();
    this.#owner.changed(this);
  }

  // --- From the guest

  #receive(packet: VsockPacket, payload: ChainPart): void {
    switch (packet.op) {
      case VsockOp.RW:
        return this.#deliver(payload);
      case VsockOp.CREDIT_UPDATE:
        return;
      case VsockOp.CREDIT_REQUEST:
        this.#tell |= Tell.CREDIT_UPDATE;
        return;
      case VsockOp.SHUTDOWN:
        return this.#guestEnds(packet.flags & ShutdownFlag.BOTH);
      default:
        return this.reset();
    }
  }

  #begin(): void {
    this.state = VsockState.ESTABLISHED;
    this.#readable = true;
    this.#stream.confirm(this.hostPort);
  }

  #deliver(payload: ChainPart): void {
    const length = payload.bytes;
    const allowed = this.#credit.received(length) &&
      (this.#guestEnded & ShutdownFlag.SEND) === 0;
    if (!allowed) return this.reset();
    if (length === 0) return;
    if (this.#hostEnded & ShutdownFlag.RECEIVE) return this.#forwarded(length);
    let done = 0;
    if (this.#buffer === undefined) {
      done = this.#stream.write(payload.pointer, payload.count);
      if (done === -Errno.EAGAIN || done === -Errno.EINTR) done = 0;
      if (done < 0) return this.#hostReadsNoMore(length);
      payload.skip(done);
    }
    if (payload.bytes > 0) this.#keep(payload);
    if (done > 0) this.#forwarded(done);
  }

  /** The program is slow: keeps what it doesn't take, within the credit. */
  #keep(payload: ChainPart): void {
    this.#buffer ??= new SendBuffer(VSOCK_BUFFER);
    const { memory } = this.#context;
    for (let i = 0; i < payload.count; i++) {
      const address = payload.guestAddressAt(i);
      this.#buffer.push(memory.bytes(address, payload.lengthAt(i)));
    }
    this.#watchRoom(true);
  }

  #forwarded(length: number): void {
    if (this.#credit.forwarded(length)) this.#tell |= Tell.CREDIT_UPDATE;
  }

  #guestEnds(flags: number): void {
    const before = this.#guestEnded;
    this.#guestEnded |= flags;
    const now = this.#guestEnded & ~before;
    if (this.#guestEnded === ShutdownFlag.BOTH) {
      this.#tell = Tell.RST; // §5.10.6.6.1: confirms the disconnection
      return;
    }
    if (now & ShutdownFlag.RECEIVE) {
      this.#stream.endReading();
      if (this.#hungUp) this.#programGone();
    }
    if (now & ShutdownFlag.SEND && !this.#buffer) this.#stream.endWriting();
  }

  #endByGuest(): void {
    const rest = this.#buffer !== undefined &&
      (this.#guestEnded & ShutdownFlag.SEND) !== 0;
    if (rest) this.#leaveGuest();
    else this.close();
  }

  /** The guest is done. What it has sent is still delivered. */
  #leaveGuest(): void {
    if (this.#buffer === undefined || !this.#open) return this.close();
    this.state = VsockState.DRAINING;
    this.#tell = 0;
  }

  // --- From the host program

  /** Writes what was kept, as far as the program takes it. */
  #drain(): void {
    const buffer = this.#buffer;
    if (buffer === undefined || !this.#open) return;
    while (buffer.length > 0) {
      const count = buffer.prepare();
      const done = this.#stream.write(buffer.iovecs, count);
      if (done === -Errno.EAGAIN) return;
      if (done === -Errno.EINTR) continue;
      if (done < 0) {
        return this.#hostReadsNoMore(buffer.length);
      }
      buffer.shift(done);
      this.#forwarded(done);
    }
    this.#dropBuffer();
    if (this.state === VsockState.DRAINING) return this.close();
    if (this.#guestEnded & ShutdownFlag.SEND) this.#stream.endWriting();
  }

  /** `lost` bytes will never be read by the program. */
  #hostReadsNoMore(lost: number): void {
    this.#dropBuffer();
    if (this.state === VsockState.DRAINING) return this.close();
    this.#forwarded(lost);
    this.#hostEnds(ShutdownFlag.RECEIVE);
  }

  #hostEnds(flags: number): void {
    if ((this.#hostEnded & flags) === flags) return;
    this.#hostEnded |= flags;
    this.#tell |= Tell.SHUTDOWN;
  }

  /** The program has closed. What it sent before is still to be read. */
  #programGone(): void {
    this.#hungUp = true;
    if (this.state === VsockState.REQUESTED) this.reset();
    else if (this.state === VsockState.HANDSHAKE) this.close();
    else if (this.#guestEnded & ShutdownFlag.RECEIVE) {
      this.#hostEnds(ShutdownFlag.BOTH);
    }
  }

  // --- To the guest

  #nextOp(room: ChainPart): number {
    if (this.#tell & Tell.RST) {
      if (this.state === VsockState.ESTABLISHED) this.#leaveGuest();
      else this.close();
      return VsockOp.RST;
    }
    if (this.#told(Tell.REQUEST)) return VsockOp.REQUEST;
    if (this.#told(Tell.RESPONSE)) return VsockOp.RESPONSE;
    if (this.#mayRead) {
      if (this.#read(room)) return VsockOp.RW;
      if (this.#tell & Tell.RST) return this.#nextOp(room);
    }
    if (this.#told(Tell.SHUTDOWN)) {
      if (this.#hostEnded === ShutdownFlag.BOTH) {
        this.#closeStream();
        this.state = VsockState.CLOSING;
      }
      return VsockOp.SHUTDOWN;
    }
    if (this.#told(Tell.CREDIT_REQUEST)) return VsockOp.CREDIT_REQUEST;
    if (this.#told(Tell.CREDIT_UPDATE)) return VsockOp.CREDIT_UPDATE;
    return VsockOp.INVALID;
  }

  #told(bit: number): boolean {
    const wanted = (this.#tell & bit) !== 0;
    this.#tell &= ~bit;
    return wanted;
  }

  get #mayRead(): boolean {
    return this.#readable && this.state === VsockState.ESTABLISHED &&
      (this.#guestEnded & ShutdownFlag.RECEIVE) === 0 && this.#credit.room > 0;
  }

  /** Reads into `room` what the guest has room for; false when nothing came. */
  #read(room: ChainPart): boolean {
    room.truncate(Math.min(room.bytes, this.#credit.room));
    const length = this.#stream.read(room.pointer, room.count);
    if (length > 0) {
      room.truncate(length);
      this.#credit.sent(length);
      if (this.#credit.room === 0) this.#askForCredit();
      return true;
    }
    if (length === -Errno.EINTR) return false;
    this.#readable = false;
    if (length === -Errno.EAGAIN) return false;
    if (length < 0) this.reset();
    else this.#hostEnds(this.#hungUp ? ShutdownFlag.BOTH : ShutdownFlag.SEND);
    return false;
  }

  #takeCredit(packet: VsockPacket): void {
    this.#credit.take(packet);
    if (this.#credit.room > 0) this.#creditAsked = false;
  }

  #askForCredit(): void {
    if (this.#creditAsked) return;
    this.#creditAsked = true;
    this.#tell |= Tell.CREDIT_REQUEST;
  }

  // --- The stream

  #watchRoom(on: boolean): void {
    if (on === this.#watchesRoom || !this.#open) return;
    this.#watchesRoom = on;
    const events = Events.IN | Events.ET | (on ? Events.OUT : 0);
    this.#context.modifyWatch(this.#stream.fd, events);
  }

  #dropBuffer(): void {
    this.#buffer?.close();
    this.#buffer = undefined;
    this.#watchRoom(false);
  }

  #closeStream(): void {
    this.#dropBuffer();
    if (!this.#open) return;
    this.#open = false;
    this.#context.unwatch(this.#stream.fd);
    this.#stream.close();
  }
}
