/**
 * The socket device (virtio 1.2 §5.10): streams between programs in the guest
 * and programs on the host.
 *
 * Data goes by one vectored read or write straight between guest memory and
 * the host program's socket.
 *
 * @module
 */
import { Events } from "../../../ffi/epoll.ts";
import { VireoError } from "../../../ffi/error.ts";
import type { Watcher } from "../../runtime/event_loop.ts";
import { NO_PORT_YET } from "../../backends/vsock/host_stream.ts";
import type { UnixSockets } from "../../backends/vsock/unix_sockets.ts";
import type { ChainPart, DescriptorChain } from "../queue/chain.ts";
import type { DeviceContext, VirtioDevice } from "../device.ts";
import { type ChainServer, Drain } from "../queue/drain.ts";
import type { VirtQueue } from "../queue/queue.ts";
import { DeviceId, Feature, type FeatureWords, featureWords } from "../spec.ts";
import {
  type ConnectionOwner,
  VsockConnection,
  VsockState,
} from "./connection.ts";
import { VsockConnections } from "./connections.ts";
import { VsockPacket } from "./packet.ts";
import {
  VSOCK_CONFIG_SIZE,
  VSOCK_HEADER_SIZE,
  VSOCK_TYPE_STREAM,
  VsockFeature,
  VsockOp,
  VsockQueue,
} from "./spec.ts";

/** `VIRTIO_VSOCK_EVENT_TRANSPORT_RESET` (§5.10.6.7). */
const TRANSPORT_RESET = new Uint8Array(4);

const QUEUE_SIZE = 256;
/** Packets per turn, so that one device doesn't starve the others. */
const BUDGET = 256;
/** Packets between two looks at whether the driver wants an interrupt. */
const BATCH = 64;
/** Answers that wait for a receive buffer. What is beyond is not answered. */
const ANSWERS = 256;

/** What is saved of it, beside its queues. */
export interface VsockSaved {
  /**
   * Event buffers that are posted when the guest has looked at all events that
   * it was told; 0: it has.
   */
  heardAt: number;
}

/** A virtio socket device. */
export class Vsock
  implements VirtioDevice, Watcher, ConnectionOwner, ChainServer {
  readonly deviceId: number = DeviceId.VSOCK;
  readonly features: FeatureWords = featureWords(
    Feature.INDIRECT_DESC,
    Feature.EVENT_IDX,
    VsockFeature.STREAM,
  );
  readonly queueSizes: readonly number[] = [QUEUE_SIZE, QUEUE_SIZE, 16];
  readonly config: Uint8Array = new Uint8Array(VSOCK_CONFIG_SIZE);
  readonly #cid: number;
  readonly #host: UnixSockets;
  readonly #connections: VsockConnections = new VsockConnections();
  readonly #packet = new VsockPacket();
  // RSTs for packets that belong to no connection.
  readonly #answers = Array.from({ length: ANSWERS }, () => new VsockPacket());
  #firstAnswer = 0;
  #answerCount = 0;
  #rxHeld = false; // #rxChain is taken and empty
  #clientsWait = false; // nobody has accepted them for want of room
  #resetWaits = false; // a transport reset that the guest doesn't know of
  // 0, or: it was told, and has looked at that when so many event buffers are
  // posted. Those before the last one are taken, so that it rings for that one.
  #heardAt = 0;
  #eventsTaken = 0;
  #rxChain!: DescriptorChain;
  #txChain!: DescriptorChain; // for events, too
  #payload!: ChainPart; // what #rxChain has room for behind the header
  #fromGuest!: Drain;
  #sinceLook = 0; // packets since #fromGuest's last look, see BATCH
  #context!: DeviceContext;

  /** The guest with context id `cid`, and the host's sockets. */
  constructor(cid: number, host: UnixSockets) {
    this.#cid = cid;
    this.#host = host;
    new DataView(this.config.buffer).setUint32(0, cid, true);
  }

  attach(context: DeviceContext): void {
    this.#context = context;
    this.#rxChain = context.queues[VsockQueue.RECEIVE]!.chain();
    this.#txChain = context.queues[VsockQueue.TRANSMIT]!.chain();
    this.#payload = context.queues[VsockQueue.RECEIVE]!.chain().writable;
    this.#fromGuest = new Drain(context, this, BUDGET);
    context.watch(this.#host.fd, this, Events.IN | Events.ET);
    this.#clientsWait = true; // perhaps: their edge is lost on a dead driver
  }

  activate(): void {
    this.#accept();
  }

  notify(queue: VirtQueue): void {
    if (queue.index === VsockQueue.TRANSMIT) this.#fromGuest.run(queue);
    if (queue.index === VsockQueue.EVENT) {
      this.#sendEvent();
      this.#awaitHeard();
    }
    this.#accept(); // it may be that nothing is to be told any more
    this.#toGuest();
  }

  /** Host programs want to connect. */
  onReady(): void {
    this.#clientsWait = true;
    this.#accept();
  }

  poll(): boolean {
    return this.#hasPackets && this.#toGuest() > 0;
  }

  enable(): boolean {
    const queue = this.#context.queues[VsockQueue.RECEIVE]!;
    return queue.live && this.#hasPackets &&
      (this.#rxHeld || queue.hasAvailable);
  }

  /** Buffers that nothing was written into are in their queues again. */
  quiesce(): void {
    this.#context.queues[VsockQueue.RECEIVE]!.rewind();
    this.#rxHeld = false;
    this.#context.queues[VsockQueue.EVENT]!.rewind();
    this.#eventsTaken = 0;
  }

  save(): VsockSaved {
    return { heardAt: this.#heardAt };
  }

  /**
   * The streams led to another machine's host: the guest hears of their end,
   * and then asks for its context id (§5.10.6.7). Its listeners go on. Where it
   * has not looked at the event of the restore before, it has to look at both.
   */
  restore(saved: unknown): void {
    const { heardAt = 0 } = (saved ?? {}) as Partial<VsockSaved>;
    const events = this.#context.queues[VsockQueue.EVENT]!;
    const most = events.live ? events.size : 0;
    if (!Number.isInteger(heardAt) || heardAt < 0 || heardAt > most) {
      throw new VireoError("vsock: it is saved with an event that can't be");
    }
    this.#heardAt = heardAt;
    this.#context.config.set(this.config);
    this.resetTransport();
    this.activate();
  }

  /** Host programs see an end of file. */
  reset(queue?: VirtQueue): void {
    if (queue === undefined || queue.index === VsockQueue.RECEIVE) {
      this.#rxHeld = false;
    }
    if (queue === undefined || queue.index === VsockQueue.EVENT) {
      this.#heardAt = this.#eventsTaken = 0;
    }
    if (queue !== undefined) return;
    this.#endStreams();
    this.#resetWaits = false;
    this.#clientsWait = true;
  }

  /**
   * Ends all connections on both sides (§5.10.6.7).
   */
  resetTransport(): void {
    this.#endStreams();
    this.#resetWaits = true;
    const events = this.#context.queues[VsockQueue.EVENT]!;
    if (this.#eventsTaken > 0) events.rewind(); // it takes the first of them
    this.#eventsTaken = 0;
    this.#sendEvent();
  }

  close(): void {
    this.#context?.unwatch(this.#host.fd);
    this.#connections.closeAll();
  }

  /** A host program did something: {@linkcode ConnectionOwner}. */
  changed(connection: VsockConnection): void {
    if (connection.state === VsockState.HANDSHAKE) this.#handshake(connection);
    this.#settle(connection);
    this.#toGuest();
  }

  // --- From the host

  /** Takes the programs that wait, as long as there is room for them. */
  #accept(): void {
    const { live } = this.#context.queues[VsockQueue.RECEIVE]!;
    if (!live || this.#untold) return;
    while (this.#clientsWait && !this.#connections.full) {
      const stream = this.#host.accept();
      if (stream === undefined) {
        this.#clientsWait = false;
      } else {
        this.#connections.add(
          new VsockConnection(stream, this.#context, this),
        );
      }
    }
  }

  #handshake(connection: VsockConnection): void {
    const port = connection.readPort();
    if (port === NO_PORT_YET) return;
    if (port < 0) return connection.close();
    connection.request(this.#connections.freeHostPort(), port);
    this.#connections.name(connection);
  }

  // --- From the guest

  /** Every packet is done with at once. */
  room(): DescriptorChain {
    return this.#txChain;
  }

  /** A packet of the guest's. */
  serve(chain: DescriptorChain, queue: VirtQueue): DescriptorChain {
    this.#receive(chain);
    queue.push(chain.head, 0);
    if (++this.#sinceLook % BATCH === 0) this.#context.publish(queue);
    return chain;
  }

  /** One packet. What is wrong is answered by an RST, or not at all. */
  #receive({ readable }: DescriptorChain): void {
    const packet = this.#packet;
    if (!packet.read(this.#context.memory, readable)) return;
    if (!packet.isFrom(this.#cid)) return; // §5.10.6.4.2: no one to answer
    readable.skip(VSOCK_HEADER_SIZE);
    const connection = packet.isForHost && packet.type === VSOCK_TYPE_STREAM
      ? this.#connections.find(packet.dstPort, packet.srcPort)
      : undefined;
    const length = packet.op === VsockOp.RW ? packet.length : 0;
    if (length > readable.bytes) connection?.reset();
    else readable.truncate(length);
    if (connection === undefined) return this.#receiveNew(packet);
    if (length <= readable.bytes) connection.receive(packet, readable);
    this.#settle(connection);
  }

  /** A packet that belongs to no connection. */
  #receiveNew(packet: VsockPacket): void {
    if (packet.op === VsockOp.RST) return;
    const mayConnect = packet.op === VsockOp.REQUEST && packet.isForHost &&
      packet.type === VSOCK_TYPE_STREAM && !this.#connections.full;
    const stream = mayConnect ? this.#host.connect(packet.dstPort) : undefined;
    if (stream === undefined) return this.#answer(packet);
    const connection = new VsockConnection(stream, this.#context, this);
    connection.accept(packet);
    this.#connections.add(connection);
    this.#connections.name(connection);
    this.#settle(connection);
  }

  #answer(packet: VsockPacket): void {
    if (this.#answerCount === ANSWERS) return;
    const last = (this.#firstAnswer + this.#answerCount++) % ANSWERS;
    this.#answers[last]!.answerWithReset(packet);
  }

  // --- To the guest

  /** A reset that the guest is to be told of waits for a buffer. */
  get #untold(): boolean {
    return this.#resetWaits && this.#context.queues[VsockQueue.EVENT]!.live;
  }

  /** None before a reset is heard: the guest would end what they begin. */
  get #hasPackets(): boolean {
    return this.#heardAt === 0 && !this.#untold &&
      (this.#answerCount > 0 || this.#connections.waiting > 0);
  }

  /** Sends what is to be sent; the number of packets. */
  #toGuest(): number {
    const queue = this.#context.queues[VsockQueue.RECEIVE]!;
    if (!queue.live) return 0;
    let packets = 0;
    while (this.#hasPackets && packets < BUDGET && this.#takeBuffer(queue)) {
      const { head, writable } = this.#rxChain;
      if (!this.#nextPacket()) continue;
      this.#packet.write(this.#context.memory, writable);
      queue.push(head, VSOCK_HEADER_SIZE + this.#packet.length);
      this.#rxHeld = false;
      if (++packets % BATCH === 0) this.#context.publish(queue);
    }
    this.#context.publish(queue);
    return packets;
  }

  /** A receive buffer; false when the driver must post one first. */
  #takeBuffer(queue: VirtQueue): boolean {
    if (this.#rxHeld) return true;
    if (!queue.pop(this.#rxChain)) {
      queue.enableNotification();
      return false;
    }
    queue.disableNotification();
    if (this.#rxChain.writable.bytes <= VSOCK_HEADER_SIZE) {
      this.#context.needsReset("vsock: receive buffer without room");
      return false;
    }
    this.#rxHeld = true;
    return true;
  }

  /** One packet of who waits longest; false when it had none after all. */
  #nextPacket(): boolean {
    if (this.#answerCount > 0) {
      this.#packet.copy(this.#answers[this.#firstAnswer]!);
      this.#firstAnswer = (this.#firstAnswer + 1) % ANSWERS;
      this.#answerCount--;
      return true;
    }
    const connection = this.#connections.nextWaiting();
    this.#payload.copy(this.#rxChain.writable);
    this.#payload.skip(VSOCK_HEADER_SIZE);
    const sent = connection.next(this.#packet, this.#payload, this.#cid);
    this.#settle(connection);
    return sent;
  }

  /** Puts a connection where it belongs after something has happened. */
  #settle(connection: VsockConnection): void {
    const { state } = connection;
    if (state === VsockState.CLOSED) {
      this.#connections.remove(connection);
      this.#accept(); // there is room for another
    } else if (state === VsockState.DRAINING) {
      this.#connections.unname(connection);
    } else if (connection.hasPackets) {
      this.#connections.wait(connection);
    }
  }

  /** §5.10.6.7: tells the guest that its streams are gone. */
  #sendEvent(): void {
    const queue = this.#context.queues[VsockQueue.EVENT]!;
    // Not for ever: a driver may post buffers without room all the time.
    for (let left = queue.size; this.#resetWaits && queue.live; left--) {
      if (left === 0 || !queue.pop(this.#txChain)) {
        return queue.enableNotification();
      }
      const { head, writable } = this.#txChain;
      const written = writable.poke(this.#context.memory, TRANSPORT_RESET);
      queue.push(head, written);
      this.#context.publish(queue);
      this.#resetWaits = written < TRANSPORT_RESET.length;
      if (!this.#resetWaits) this.#told(queue);
    }
  }

  #endStreams(): void {
    this.#connections.closeAll();
    this.#answerCount = 0;
  }

  #told(queue: VirtQueue): void {
    this.#endStreams(); // those that the guest has begun meanwhile, too
    let posted = 0;
    while (posted < queue.size && queue.pop(this.#txChain)) posted++;
    // Where it owes a buffer for an event before this one, that came to take
    // one of the posted ones and is one more to come: it is the same number.
    this.#heardAt ||= posted + 1;
    queue.rewind();
    this.#eventsTaken = 0;
    this.#awaitHeard();
  }

  /**
   * A driver ends its streams and tells nobody, whenever it comes to look at
   * the event. It posts the buffer anew when it has (§5.10.6.7.1).
   */
  #awaitHeard(): void {
    const queue = this.#context.queues[VsockQueue.EVENT]!;
    if (this.#heardAt === 0 || !queue.live) return;
    while (
      this.#eventsTaken < this.#heardAt - 1 && queue.pop(this.#txChain)
    ) this.#eventsTaken++;
    const last = this.#eventsTaken === this.#heardAt - 1;
    if (!last || !queue.hasAvailable) return queue.enableNotification();
    this.#heardAt = this.#eventsTaken = 0;
    queue.rewind();
  }
}
