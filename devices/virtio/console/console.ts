/**
 * The console device (virtio 1.2 §5.3): the guest's main console, and ports
 * with names. {@linkcode ConsolePort} moves the bytes; here are the messages
 * between device and driver about ports.
 *
 * @module
 */
import { VireoError } from "../../../ffi/error.ts";
import { duplicateFd } from "../../../ffi/file.ts";
import { GivenBackend } from "../../backends/console/given.ts";
import type { DescriptorChain } from "../queue/chain.ts";
import { ConsolePort, Due, type PortOptions, type PortSaved } from "./ports.ts";
import type { DeviceContext, VirtioDevice } from "../device.ts";
import { type ChainServer, Drain } from "../queue/drain.ts";
import type { VirtQueue } from "../queue/queue.ts";
import { DeviceId, Feature, type FeatureWords, featureWords } from "../spec.ts";
import {
  AGENT_PORT,
  ConsoleConfig,
  ConsoleEvent,
  ConsoleFeature,
  ConsoleQueue,
  CONTROL_SIZE,
  MAX_PORTS,
  PORT_NAME_MAX,
} from "./spec.ts";

// Linux fills the receive queues with pages of its own: not too many.
const QUEUE_SIZE = 32;
/** What restores nothing. */
const NO_PORT = {} as PortSaved;
/** Control messages per turn. */
const BUDGET = 16;

/** A command to the device. */
export type ConsoleCommand = ConsoleSize | AgentEnd;

/** The agent's port has another end. */
export interface AgentEnd {
  /** Who has the other end of a socket talks to the guest's agent. */
  type: "agent";
  /** The device's end of it, of which it makes a descriptor of its own. */
  fd: number;
}

/** The terminal has another size. */
export interface ConsoleSize {
  /** The terminal at the main console's other end has a new size. */
  type: "resize";
  /** Its width in characters. */
  columns: number;
  /** Its height in lines. */
  rows: number;
}

/** A virtio console with ports. */
export class Console implements VirtioDevice, ChainServer {
  readonly deviceId: number = DeviceId.CONSOLE;
  readonly features: FeatureWords = featureWords(
    Feature.INDIRECT_DESC,
    Feature.EVENT_IDX,
    ...Object.values(ConsoleFeature),
  );
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array = new Uint8Array(ConsoleConfig.SIZE);
  readonly #ports: readonly ConsolePort[];
  readonly #message = new Uint8Array(CONTROL_SIZE + PORT_NAME_MAX);
  readonly #messageView = new DataView(this.#message.buffer);
  readonly #emergency = new Uint8Array(1);
  #chain!: DescriptorChain; // of a control queue
  #messages!: Drain;
  #context!: DeviceContext;
  #multiport = false;

  /**
   * A device with these ports, one at least. Port 0 is the one that a driver
   * without MULTIPORT has, as a console.
   */
  constructor(ports: readonly PortOptions[]) {
    if (ports.length < 1 || ports.length > MAX_PORTS) {
      throw new RangeError(`a console has 1 to ${MAX_PORTS} ports`);
    }
    this.#ports = ports.map((port, id) => new ConsolePort(id, port));
    this.queueSizes = Array(2 + 2 * ports.length).fill(QUEUE_SIZE);
    new DataView(this.config.buffer)
      .setUint32(ConsoleConfig.max_nr_ports, ports.length, true);
  }

  attach(context: DeviceContext): void {
    this.#context = context;
    this.#chain = context.queues[ConsoleQueue.CONTROL_RECEIVE]!.chain();
    this.#messages = new Drain(context, this, BUDGET);
    for (const port of this.#ports) {
      port.attach(context, () => this.#backendChanged(port));
    }
  }

  activate(): void {
    this.#learnMultiport();
    // §5.3.5: without MULTIPORT there is one port, and it is open.
    if (!this.#multiport) this.#ports[0]!.guestOpen = true;
    for (const queue of this.#context.queues) {
      if (queue.live) this.notify(queue);
    }
  }

  notify(queue: VirtQueue): void {
    switch (queue.index) {
      case ConsoleQueue.CONTROL_TRANSMIT:
        this.#messages.run(queue);
        return this.#tell();
      case ConsoleQueue.CONTROL_RECEIVE:
        return this.#tell();
      default: {
        const index = queue.index >> 1;
        this.#pump(this.#ports[index === 0 ? 0 : index - 1]!);
      }
    }
  }

  poll(): boolean {
    let worked = false;
    for (let i = 0; i < this.#ports.length; i++) {
      const port = this.#ports[i]!;
      if (!port.unfinished) continue;
      this.#pump(port);
      worked = true;
    }
    return worked;
  }

  enable(): boolean {
    for (let i = 0; i < this.#ports.length; i++) {
      if (this.#ports[i]!.unfinished) return true;
    }
    return false;
  }

  /** Buffers without input, and output without room, are in their queues. */
  quiesce(): void {
    for (const port of this.#ports) port.quiesce();
  }

  /**
   * The ports. Bytes stay with the host: input that the guest has not taken,
   * and output that it was told is written. The next is behind that.
   */
  save(): PortSaved[] {
    return this.#ports.map((port) => port.save());
  }

  /** Who is at the other ends may be others now, or nobody. */
  restore(saved: unknown): void {
    const ports = Array.isArray(saved) ? saved as PortSaved[] : [];
    const good = ports.length === this.#ports.length &&
      this.#ports.every((port, id) => port.restore(ports[id] ?? NO_PORT));
    if (!good) throw new VireoError("console: that is no state of its ports");
    this.#learnMultiport();
    for (const port of this.#ports) {
      port.backend.another?.();
      this.#connectionChanged(port);
    }
  }

  reset(queue?: VirtQueue): void {
    for (const port of this.#ports) port.reset(queue);
  }

  /** §5.3.4: a character for the console, of a driver that has no queue yet. */
  writeConfig(offset: number, _size: number, value: number): void {
    if (offset !== ConsoleConfig.emerg_wr) return;
    this.#emergency[0] = value;
    const { backend } = this.#ports[0]!;
    if (backend.connected) backend.write(this.#emergency, 0, 1);
  }

  command(command: unknown): void {
    const asked = command as ConsoleCommand;
    if (asked.type === "agent") return this.#giveAgent(asked.fd);
    const { columns, rows } = asked;
    for (const length of [columns, rows]) {
      if (!Number.isInteger(length) || length < 0 || length > 0xffff) {
        throw new VireoError(`console: ${columns} x ${rows} is no size`);
      }
    }
    this.#context.configChanged((config) => {
      const { buffer, byteOffset } = config;
      const view = new DataView(buffer, byteOffset, ConsoleConfig.SIZE);
      view.setUint16(ConsoleConfig.cols, columns, true);
      view.setUint16(ConsoleConfig.rows, rows, true);
    });
    // §5.3.6.2: with MULTIPORT, a message beside the configuration.
    for (const port of this.#ports) {
      if (port.console && port.ready) port.due |= Due.SIZE;
    }
    this.#tell();
  }

  #giveAgent(fd: number): void {
    const port = this.#ports.find(({ name }) => name === AGENT_PORT);
    if (!(port?.backend instanceof GivenBackend)) {
      throw new VireoError("console: it has no port for the guest's agent");
    }
    port.backend.give(duplicateFd(fd));
    this.#pump(port);
  }

  close(): void {
    for (const port of this.#ports) port.close();
  }

  get #sizeKnown(): boolean {
    const { config } = this.#context;
    return config.subarray(ConsoleConfig.cols, 4).some((byte) => byte !== 0);
  }

  #learnMultiport(): void {
    this.#multiport = this.#context.hasFeature(ConsoleFeature.MULTIPORT);
  }

  #pump(port: ConsolePort): void {
    const { connected } = port.backend;
    port.pump();
    if (port.backend.connected !== connected) this.#connectionChanged(port);
  }

  #backendChanged(port: ConsolePort): void {
    this.#connectionChanged(port);
    this.#pump(port);
  }

  #connectionChanged(port: ConsolePort): void {
    if (port.ready && port.told !== port.backend.connected) {
      port.due |= Due.OPEN;
      this.#tell();
    }
  }

  /** Every message is done with at once. */
  room(): DescriptorChain {
    return this.#chain;
  }

  /** §5.3.6.2: what the driver says. */
  serve(chain: DescriptorChain, queue: VirtQueue): DescriptorChain {
    const { head, readable } = chain;
    if (readable.peek(this.#context.memory, this.#message, CONTROL_SIZE)) {
      this.#take(
        this.#messageView.getUint32(0, true),
        this.#messageView.getUint16(4, true),
        this.#messageView.getUint16(6, true),
      );
    } // else it says nothing
    queue.push(head, 0);
    return chain;
  }

  #take(id: number, event: number, value: number): void {
    if (event === ConsoleEvent.DEVICE_READY) {
      if (value !== 1) return;
      for (const port of this.#ports) port.due |= Due.ADD;
      return;
    }
    const port = this.#ports[id];
    if (port === undefined) return; // a port that there isn't
    switch (event) {
      case ConsoleEvent.PORT_READY:
        port.ready = value === 1;
        if (!port.ready) return;
        port.due |= Due.NAME | Due.OPEN;
        if (port.console) port.due |= Due.CONSOLE;
        if (port.console && this.#sizeKnown) port.due |= Due.SIZE;
        return;
      case ConsoleEvent.PORT_OPEN:
        port.guestOpen = value === 1;
        if (port.guestOpen) this.#pump(port);
    }
  }

  /** Tells the driver what is due, as far as it has posted buffers. */
  #tell(): void {
    const queue = this.#context.queues[ConsoleQueue.CONTROL_RECEIVE]!;
    if (!this.#multiport || !queue.live) return;
    for (let i = 0; i < this.#ports.length; i++) {
      const port = this.#ports[i]!;
      while (port.due !== 0) {
        if (!queue.pop(this.#chain)) {
          queue.enableNotification();
          return this.#context.publish(queue);
        }
        const bit = port.due & -port.due; // the lowest: they are in order
        port.due &= ~bit;
        const length = this.#compose(port, bit);
        const message = this.#message.subarray(0, length);
        const { head, writable } = this.#chain;
        queue.push(head, writable.poke(this.#context.memory, message));
      }
    }
    this.#context.publish(queue);
  }

  /** Puts a message together; its length, 0 when there is nothing to say. */
  #compose(port: ConsolePort, due: number): number {
    const header = (event: number, value: number): number => {
      this.#messageView.setUint32(0, port.id, true);
      this.#messageView.setUint16(4, event, true);
      this.#messageView.setUint16(6, value, true);
      return CONTROL_SIZE;
    };
    switch (due) {
      case Due.ADD:
        return header(ConsoleEvent.DEVICE_ADD, 1);
      case Due.CONSOLE:
        return header(ConsoleEvent.CONSOLE_PORT, 1);
      case Due.NAME: {
        const { written } = new TextEncoder()
          .encodeInto(port.name, this.#message.subarray(CONTROL_SIZE));
        return header(ConsoleEvent.PORT_NAME, 1) + written;
      }
      case Due.SIZE: {
        const size = this.#context.config.subarray(0, 4); // cols, rows
        this.#message.set(size, CONTROL_SIZE);
        return header(ConsoleEvent.RESIZE, 0) + size.length;
      }
      default:
        port.told = port.backend.connected;
        return header(ConsoleEvent.PORT_OPEN, port.told ? 1 : 0);
    }
  }
}
