/**
 * A virtqueue (virtio 1.2 §2.6), the device's side: what split and packed
 * queues have in common, and all that a device knows of them.
 *
 * Every index, address and length that the driver wrote is read once and
 * checked. What breaks the queue is kept in {@linkcode VirtQueue.broken}; the
 * device then sets `DEVICE_NEEDS_RESET`.
 *
 * @module
 */
import { Mapping } from "../../../ffi/memory/mmap.ts";
import type { GuestMemory, MemoryRegion } from "../../../guest/memory.ts";
import { DescriptorChain } from "./chain.ts";

/** `sizeof(struct virtq_desc)` and of `struct pvirtq_desc`. */
export const DESC_SIZE = 16;
/** Descriptor flags (§2.7.5, §2.8.13). */
export const DescFlag = { NEXT: 1, WRITE: 2, INDIRECT: 4 } as const;

/** A queue's rings and positions as plain data. */
export interface QueueState {
  /** Number of descriptors. */
  size: number;
  /** Guest address of the descriptor table, or of the packed ring. */
  desc: number;
  /** Guest address of the driver area: the available ring of a split queue. */
  avail: number;
  /** Guest address of the device area: the used ring of a split queue. */
  used: number;
  /** `VIRTIO_F_EVENT_IDX` was negotiated. */
  eventIdx: boolean;
  /** `VIRTIO_F_INDIRECT_DESC` was negotiated. */
  indirect: boolean;
  /**
   * Next available entry to take: 16 bits; in a packed queue 15 bits and, in
   * bit 15, the wrap counter.
   */
  nextAvail: number;
  /** Next used entry to write, in the same form. */
  nextUsed: number;
}

/** The device's side of one virtqueue. */
export abstract class VirtQueue {
  /** The queue's number in its device. */
  readonly index: number;
  /** The most descriptors that the device offers. */
  readonly maxSize: number;
  /** Number of descriptors; 0 when the queue is not live. */
  size = 0;
  /** Why the queue can't go on, or undefined. */
  broken: string | undefined;
  /** Chains that were given back so far. */
  pushed = 0;
  /** The driver wants an interrupt for what it was shown already. */
  interruptOwed = false;
  /** The guest's RAM. */
  protected readonly memory: GuestMemory;
  /** The device has asked to be told of the next chain. */
  protected interest = false;
  readonly #iovecs: Mapping[] = []; // of the chains that it has made

  /** Queue `index` of a device of the guest that has `memory`. */
  constructor(index: number, maxSize: number, memory: GuestMemory) {
    this.index = index;
    this.maxSize = maxSize;
    this.memory = memory;
  }

  /** True between {@linkcode activate} and {@linkcode deactivate}. */
  get live(): boolean {
    return this.size > 0 && this.broken === undefined;
  }

  /**
   * Checks the driver's addresses and takes the queue into use. On a bad
   * layout (alignment, size, RAM) it sets {@linkcode broken}.
   */
  abstract activate(state: QueueState): void;

  /** The queue as plain data, for a snapshot. */
  abstract save(): QueueState;

  /** Takes the queue out of use. */
  deactivate(): void {
    this.size = 0;
    this.interest = false;
    this.broken = undefined;
  }

  /** True when the driver has made a chain available. */
  abstract get hasAvailable(): boolean;

  /**
   * Makes a chain to {@linkcode pop} into, with room for the longest that the
   * queue may have. It is the device's until the device is closed, and serves
   * the device's other queues as well: what has no room in it breaks them.
   */
  chain(): DescriptorChain {
    return this.chains(1)[0]!;
  }

  /** Makes `count` of them, such as one for each request in flight. */
  chains(count: number): DescriptorChain[] {
    const bytes = DescriptorChain.bytes(this.maxSize);
    const mapping = new Mapping(count * bytes, { name: "iovecs" });
    this.#iovecs.push(mapping);
    return Array.from(
      { length: count },
      (_, slot) => new DescriptorChain(mapping, slot * bytes, this.maxSize),
    );
  }

  /** Frees the chains that the queue has made: nobody may use them any more. */
  close(): void {
    for (const mapping of this.#iovecs) mapping.unmap();
  }

  /**
   * Takes the next available chain. False when there is none, or when the
   * queue broke.
   */
  abstract pop(chain: DescriptorChain): boolean;

  /**
   * Takes back that chains were taken, as far as they were not pushed: they are
   * available again, in their order. Those that were pushed must be those that
   * were taken first.
   */
  abstract rewind(): void;

  /**
   * Gives a chain back to the driver with `written` bytes in its writable
   * part. The driver sees it after {@linkcode publish}.
   */
  abstract push(head: number, written: number): void;

  /** Shows the pushed chains to the driver; true when it wants an interrupt. */
  abstract publish(): boolean;

  /** Asks the driver not to ring the doorbell: a hint. */
  disableNotification(): void {
    this.interest = false;
    if (this.size > 0) this.suppressDoorbell();
  }

  /**
   * The device wants to be told of the next chain, once, also when it is there
   * already. The thread looks for it while it polls; the driver is asked for
   * its doorbell by {@linkcode enable} only, because a doorbell that nobody waits
   * for costs the guest an exit.
   */
  enableNotification(): void {
    this.interest = this.live;
  }

  /**
   * The device is told of a chain, so what it has asked for is done. The ring
   * does not change: doorbells stay on for a device that never turns them off.
   */
  complete(): void {
    this.interest = false;
  }

  /** A chain is there, and the device has asked for it. */
  get due(): boolean {
    return this.interest && this.live && this.hasAvailable;
  }

  /**
   * Before the thread sleeps: asks the driver for the doorbell, if the device
   * has asked for one. True when a chain came in meanwhile: the thread must
   * not sleep.
   */
  enable(): boolean {
    if (!this.interest) return false;
    if (this.live) this.requestDoorbell();
    this.interest = this.live && this.hasAvailable;
    return this.interest;
  }

  /** Writes to the live ring that the driver is not to ring. */
  protected abstract suppressDoorbell(): void;

  /** Writes to the live ring that the driver is to ring for the next chain. */
  protected abstract requestDoorbell(): void;

  /** A ring: aligned, and all of it in one piece of RAM. */
  protected area(
    address: number,
    length: number,
    alignment: number,
  ): MemoryRegion | undefined {
    if (address % alignment !== 0) return undefined;
    return this.memory.find(address, length);
  }

  /**
   * An indirect table (§2.7.5.3, §2.8.7). Vireo wants it aligned to 4, as
   * drivers have it.
   */
  protected indirectTable(
    address: number,
    length: number,
  ): MemoryRegion | undefined {
    if (length % DESC_SIZE !== 0 || address % 4 !== 0) return undefined;
    return this.memory.find(address, length);
  }

  /** Adds one descriptor's buffer to `chain`. */
  protected append(
    chain: DescriptorChain,
    address: number,
    length: number,
    flags: number,
  ): boolean {
    const host = this.memory.hostAddress(address, length);
    if (host === 0) return this.break("descriptor is empty or not in RAM");
    if (flags & DescFlag.WRITE) {
      chain.writable.add(address, host, length);
    } else if (chain.writable.count > 0) {
      return this.break("readable descriptor after a writable one");
    } else {
      chain.readable.add(address, host, length);
    }
    return true;
  }

  /** §2.7.5.2: a chain has as many descriptors as its queue, at most. */
  protected longest({ capacity }: DescriptorChain): number {
    return capacity < this.size ? capacity : this.size;
  }

  /** The queue can't go on. */
  protected break(reason: string): false {
    this.broken = reason;
    return false;
  }
}

/** §2.7.7.2: does moving from `before` to `now` pass `event`? 16 bits. */
export function needEvent(event: number, now: number, before: number): boolean {
  return ((now - event - 1) & 0xffff) < ((now - before) & 0xffff);
}
