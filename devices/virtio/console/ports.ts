/**
 * One port of the console device: bytes between its two queues and what it is
 * connected to on the host (virtio 1.2 §5.3.6).
 *
 * @module
 */
import type { ConsoleBackend } from "../../backends/console/backend.ts";
import type { ChainPart, DescriptorChain } from "../queue/chain.ts";
import type { DeviceContext } from "../device.ts";
import { type ChainServer, Drain } from "../queue/drain.ts";
import type { VirtQueue } from "../queue/queue.ts";

/** Buffers per turn, so that one port doesn't starve the other devices. */
const BUDGET = 16;

/** What a port is. */
export interface PortOptions {
  /** The port's name in the guest: `/dev/virtio-ports/NAME`. */
  name: string;
  /** What it is connected to. */
  backend: ConsoleBackend;
  /** A console, with a terminal at the other end. */
  console?: boolean;
}

/** What is saved of a port. */
export interface PortSaved {
  /** {@linkcode Due} bits. */
  due: number;
  /** {@linkcode ConsolePort.ready}. */
  ready: boolean;
  /** {@linkcode ConsolePort.told}. */
  told: boolean;
  /** {@linkcode ConsolePort.guestOpen}. */
  guestOpen: boolean;
  /** Bytes of the next chain of output that were written before. */
  written: number;
}

/**
 * What the driver is to be told of a port, as bits in the order of telling. A
 * later state takes the place of an earlier one that was not told yet.
 */
export const Due = { ADD: 1, CONSOLE: 2, NAME: 4, SIZE: 8, OPEN: 16 } as const;
const ALL_DUE = 31;

/** A port. Moving bytes allocates nothing. */
export class ConsolePort implements ChainServer {
  /** The port's number. */
  readonly id: number;
  /** What the guest finds it by. */
  readonly name: string;
  /** Linux may use it as its console. */
  readonly console: boolean;
  /** Where its bytes go. */
  readonly backend: ConsoleBackend;
  /** {@linkcode Due} bits. */
  due = 0;
  /** The driver has the port: it may be told of changes. */
  ready = false;
  /** What the driver was last told of `backend.connected`. */
  told = false;
  /** Somebody in the guest has opened it. Without, input would be lost. */
  guestOpen = false;
  /** There is work that was left for the next turn. */
  unfinished = false;
  readonly #receiveQueue: number;
  readonly #transmitQueue: number;
  #rx!: DescriptorChain;
  #tx!: DescriptorChain;
  #output!: Drain;
  #context!: DeviceContext;
  #rxHeld = false; // #rx waits for input
  #txHeld = false; // #tx waits for room
  #txBytes = 0; // that #tx had when it was taken
  #written = 0; // of the next chain of output, before it was given back

  /** Port `id`. */
  constructor(id: number, options: PortOptions) {
    this.id = id;
    this.name = options.name;
    this.backend = options.backend;
    this.console = options.console ?? false;
    // §5.3.2: the control queues are between the first port's and the others'.
    this.#receiveQueue = id === 0 ? 0 : 2 + 2 * id;
    this.#transmitQueue = this.#receiveQueue + 1;
  }

  /** Before the guest runs. `changed` is called after the backend has been. */
  attach(context: DeviceContext, changed: () => void): void {
    this.#context = context;
    this.#rx = context.queues[this.#receiveQueue]!.chain();
    this.#tx = context.queues[this.#transmitQueue]!.chain();
    this.#output = new Drain(context, this, BUDGET);
    this.backend.attach(context, changed);
  }

  /** Moves what can be moved, both ways. */
  pump(): void {
    this.unfinished = false;
    const transmit = this.#context.queues[this.#transmitQueue]!;
    const receive = this.#context.queues[this.#receiveQueue]!;
    if (transmit.live) this.#transmit(transmit);
    if (receive.live) this.#receive(receive);
  }

  /** There is one chain for output, and the backend may have no room. */
  room(): DescriptorChain | undefined {
    return this.#txHeld ? undefined : this.#tx;
  }

  /** Writes output, or keeps what is left of it until there is room. */
  serve(chain: DescriptorChain, queue: VirtQueue): DescriptorChain | undefined {
    const { head, readable } = chain;
    if (!this.#txHeld) {
      this.#txBytes = readable.bytes;
      readable.skip(Math.min(this.#written, readable.bytes));
      this.#written = 0;
    }
    this.#txHeld = !this.#writeOut(readable);
    if (!this.#txHeld) queue.push(head, 0);
    return this.room();
  }

  /** Both queues have their chains again. */
  quiesce(): void {
    if (this.#txHeld) this.#written = this.#txBytes - this.#tx.readable.bytes;
    this.#txHeld = false;
    this.#rxHeld = false;
    this.#context.queues[this.#receiveQueue]!.rewind();
    this.#context.queues[this.#transmitQueue]!.rewind();
  }

  /** What goes with a machine that is saved; bytes do not. */
  save(): PortSaved {
    const { due, ready, told, guestOpen } = this;
    return { due, ready, told, guestOpen, written: this.#written };
  }

  /** Goes on as saved; false when that is no state of a port. */
  restore({ due, ready, told, guestOpen, written }: PortSaved): boolean {
    const flags = [ready, told, guestOpen];
    if (
      !flags.every((flag) => typeof flag === "boolean") ||
      !Number.isInteger(due) || due < 0 || due > ALL_DUE ||
      !Number.isSafeInteger(written) || written < 0
    ) return false;
    Object.assign(this, { due, ready, told, guestOpen });
    this.#written = written;
    return true;
  }

  /** Lets go of one queue, or of both. */
  reset(queue?: VirtQueue): void {
    const all = queue === undefined;
    if (all || queue.index === this.#receiveQueue) this.#rxHeld = false;
    if (all || queue.index === this.#transmitQueue) {
      this.#txHeld = false;
      this.#written = 0;
    }
    if (!all) return;
    this.due = 0;
    this.ready = false;
    this.told = false;
    this.guestOpen = false;
    this.unfinished = false;
  }

  /** Releases the backend. */
  close(): void {
    this.backend.close();
  }

  #transmit(queue: VirtQueue): void {
    if (this.#txHeld) this.serve(this.#tx, queue);
    this.#output.run(queue);
  }

  #receive(queue: VirtQueue): void {
    if (!this.guestOpen) return;
    for (let buffers = 0;;) {
      if (!this.#rxHeld && !queue.pop(this.#rx)) {
        // Input waits in the backend until the driver posts buffers.
        queue.enableNotification();
        break;
      }
      this.#rxHeld = true;
      const { writable } = this.#rx;
      const count = this.#readIn(writable);
      if (count === 0 && writable.bytes > 0) break; // no input
      this.#rxHeld = false;
      queue.push(this.#rx.head, count);
      this.unfinished = ++buffers >= BUDGET;
      if (this.unfinished) break;
    }
    this.#context.publish(queue);
  }

  /** False when the backend has no room for the rest. */
  #writeOut(part: ChainPart): boolean {
    while (part.count > 0) {
      const length = part.firstLength;
      const region = this.#context.memory.find(part.guestAddress, length)!;
      const start = part.guestAddress - region.guestAddress;
      const taken = this.backend.write(region.u8, start, start + length);
      part.skip(taken);
      if (taken < length) return false;
    }
    return true;
  }

  /** Fills the part's start; how many bytes there were. */
  #readIn(part: ChainPart): number {
    let done = 0;
    for (let i = 0; i < part.count; i++) {
      const length = part.lengthAt(i);
      const region = this.#context.memory.find(part.guestAddressAt(i), length)!;
      const start = part.guestAddressAt(i) - region.guestAddress;
      const count = this.backend.read(region.u8, start, start + length);
      done += count;
      if (count < length) break;
    }
    return done;
  }
}
