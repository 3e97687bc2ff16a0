/**
 * For tests of the console device: a driver with its control messages (virtio
 * 1.2 §5.3.6).
 *
 * @module
 */
import { MemoryConsole } from "../../backends/testing/console.ts";
import { Console } from "../console/console.ts";
import type { PortOptions } from "../console/ports.ts";
import { ConsoleEvent, ConsoleQueue } from "../console/spec.ts";
import {
  MockDriver,
  type MockDriverOptions,
  type StartOptions,
} from "./mod.ts";
import type { DriverBuffer, DriverQueue } from "./queue.ts";

const EVENTS = Object.keys(ConsoleEvent) as (keyof typeof ConsoleEvent)[];

/** A driver of one console with two ports: a console, and one named `log`. */
export class ConsoleDriver extends MockDriver {
  /** What the ports are connected to. */
  readonly ends: readonly MemoryConsole[];
  readonly #posted = new Map<string, DriverBuffer>();

  /** A device that is started. */
  constructor(
    options: MockDriverOptions & StartOptions = {},
    make = (ports: readonly PortOptions[]) => new Console(ports),
  ) {
    const ends = [new MemoryConsole(), new MemoryConsole()];
    super(
      make([
        { name: "main", backend: ends[0]!, console: true },
        { name: "log", backend: ends[1]! },
      ]),
      options,
    );
    this.ends = ends;
    this.start(options);
  }

  /** Forgets its buffers, too. */
  override reset(): void {
    super.reset();
    this.#posted?.clear();
  }

  /** Posts buffers of `lengths` into queue `queue`, one chain each. */
  post(queue: number, ...lengths: number[]): void {
    for (const length of lengths) {
      const room = this.room(length);
      const head = this.queues[queue]!.add([room]);
      this.#posted.set(`${queue} ${head}`, room);
    }
    this.kick(queue);
  }

  /** What has come into queue `queue`, a string per buffer. */
  received(queue: number): string[] {
    const texts: string[] = [];
    const ring = this.queues[queue]!;
    for (let head = ring.poll(); head >= 0; head = ring.poll()) {
      const room = this.#posted.get(`${queue} ${head}`)!;
      const bytes = this.bytes(room).subarray(0, ring.usedLength);
      texts.push(String.fromCharCode(...bytes));
    }
    return texts;
  }

  /** Makes text available in queue `queue`, a descriptor per piece; rings. */
  send(queue: number, ...pieces: string[]): number {
    const buffers = pieces.map((text) =>
      this.buffer(Uint8Array.from(text, (c) => c.charCodeAt(0)))
    );
    const head = this.queues[queue]!.add(buffers);
    this.ring(queue);
    return head;
  }

  /** Sends a control message. */
  tell(id: number, event: keyof typeof ConsoleEvent, value = 1): void {
    const view = new DataView(new ArrayBuffer(8));
    view.setUint32(0, id, true);
    view.setUint16(4, ConsoleEvent[event], true);
    view.setUint16(6, value, true);
    const message = this.buffer(new Uint8Array(view.buffer));
    const queue = this.queues[ConsoleQueue.CONTROL_TRANSMIT]!;
    if (queue.add([message]) < 0) throw new Error("the queue is full");
    this.ring(ConsoleQueue.CONTROL_TRANSMIT);
    while (queue.poll() >= 0);
  }

  /** Control messages that have come: `0 PORT_OPEN 1`, and what follows. */
  told(): string[] {
    return this.received(ConsoleQueue.CONTROL_RECEIVE).map((text) => {
      const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
      const view = new DataView(bytes.buffer);
      const event = view.getUint16(4, true);
      const rest = event === ConsoleEvent.RESIZE
        ? `${view.getUint16(8, true)}x${view.getUint16(10, true)}`
        : text.slice(8);
      return `${view.getUint32(0, true)} ${EVENTS[event]} ` +
        `${view.getUint16(6, true)} ${rest}`.trim();
    });
  }

  /** A driver's first messages, up to open ports. */
  open(): this {
    this.post(ConsoleQueue.CONTROL_RECEIVE, ...Array(16).fill(128));
    this.tell(0, "DEVICE_READY");
    for (const id of [0, 1]) this.tell(id, "PORT_READY");
    for (const id of [0, 1]) this.tell(id, "PORT_OPEN");
    this.told();
    return this;
  }

  /** The first port's receive queue. */
  get rx(): DriverQueue {
    return this.queues[ConsoleQueue.RECEIVE]!;
  }
}
