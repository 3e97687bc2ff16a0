/**
 * The control queue of a network device (virtio 1.2 §5.1.6.5): one command
 * per chain, answered by one byte.
 *
 * @module
 */
import type { ChainPart, DescriptorChain } from "../queue/chain.ts";
import type { DeviceContext } from "../device.ts";
import {
  ANNOUNCE_ACK,
  NetAck,
  NetControlClass,
  NetControlMac,
  NetControlRx,
  VQ_PAIRS_SET,
} from "./spec.ts";
import { type ChainServer, Drain } from "../queue/drain.ts";
import type { VirtQueue } from "../queue/queue.ts";

/** `struct virtio_net_ctrl` in front of a command's data: class, command. */
const HEADER_SIZE = 2;
const ADDRESS_SIZE = 6;
/** Commands per turn, so that one device doesn't starve the others. */
const BUDGET = 64;

/** What commands are carried out by. */
export interface NetControlled {
  /** Uses the first `count` pairs of queues; false when there are fewer. */
  setPairs(count: number): boolean;
  /** Takes another MAC address, six bytes. */
  setAddress(mac: Uint8Array): void;
  /** The driver has announced itself. */
  announced(): void;
}

/** Reads commands, has them carried out, and answers. */
export class NetControl implements ChainServer {
  readonly #device: NetControlled;
  #chain!: DescriptorChain;
  #drain!: Drain;
  #context!: DeviceContext;
  readonly #header = new Uint8Array(HEADER_SIZE);
  readonly #address = new Uint8Array(ADDRESS_SIZE);
  readonly #word = new Uint8Array(4);
  readonly #ack = new Uint8Array(1);

  /** Commands for `device`. */
  constructor(device: NetControlled) {
    this.#device = device;
  }

  /** Once, before the guest runs. */
  attach(context: DeviceContext): void {
    // Without MQ, the control queue is number 2 (§5.1.2). The last, which it
    // is with MQ, is no larger.
    this.#chain = context.queues[2]!.chain();
    this.#drain = new Drain(context, this, BUDGET);
    this.#context = context;
  }

  /** Carries out what the driver has made available. */
  run(queue: VirtQueue): void {
    this.#drain.run(queue);
  }

  /** Every command is done with at once. */
  room(): DescriptorChain {
    return this.#chain;
  }

  /** Carries out one command. */
  serve(chain: DescriptorChain, queue: VirtQueue): DescriptorChain {
    const { head, readable, writable } = chain;
    const context = this.#context;
    if (writable.bytes === 0) {
      // No place for an answer: nothing to tell this command.
      context.needsReset("net: command without room for its ack");
      return chain;
    }
    const ok = this.#carryOut(readable, context);
    this.#ack[0] = ok ? NetAck.OK : NetAck.ERR;
    writable.poke(context.memory, this.#ack);
    queue.push(head, 1);
    return chain;
  }

  /** False when the command is unknown, malformed, or can't be done. */
  #carryOut(data: ChainPart, context: DeviceContext): boolean {
    if (!this.#take(data, context, this.#header)) return false;
    const [kind, command] = this.#header;
    switch (kind) {
      case NetControlClass.RX:
        return this.#receiveMode(command!, data);
      case NetControlClass.MAC:
        return this.#mac(command!, data, context);
      case NetControlClass.ANNOUNCE:
        if (command !== ANNOUNCE_ACK) return false;
        this.#device.announced();
        return true;
      case NetControlClass.MQ: {
        if (command !== VQ_PAIRS_SET || data.bytes !== 2) return false;
        const pairs = this.#word.subarray(0, 2);
        this.#take(data, context, pairs);
        return this.#device.setPairs(pairs[0]! + pairs[1]! * 256);
      }
      default:
        return false;
    }
  }

  /**
   * §5.1.6.5.1: which frames the driver wants. It gets all that the backend
   * has, which is this interface's traffic: filtering is best-effort.
   */
  #receiveMode(command: number, data: ChainPart): boolean {
    return command <= NetControlRx.ALLMULTI && data.bytes === 1;
  }

  /** §5.1.6.5.2. */
  #mac(command: number, data: ChainPart, context: DeviceContext): boolean {
    switch (command) {
      case NetControlMac.TABLE_SET:
        // Unicast, then multicast: well-formed, and not needed (see above).
        return this.#skipTable(data, context) &&
          this.#skipTable(data, context) && data.bytes === 0;
      case NetControlMac.ADDR_SET:
        if (data.bytes !== ADDRESS_SIZE) return false;
        this.#take(data, context, this.#address);
        this.#device.setAddress(this.#address);
        return true;
      default:
        return false;
    }
  }

  /** `struct virtio_net_ctrl_mac`: a count, and as many addresses. */
  #skipTable(data: ChainPart, context: DeviceContext): boolean {
    const word = this.#word;
    if (!this.#take(data, context, word)) return false;
    const count = new DataView(word.buffer).getUint32(0, true);
    if (count * ADDRESS_SIZE > data.bytes) return false;
    data.skip(count * ADDRESS_SIZE);
    return true;
  }

  #take(data: ChainPart, context: DeviceContext, target: Uint8Array): boolean {
    if (!data.peek(context.memory, target, target.length)) return false;
    data.skip(target.length);
    return true;
  }
}
