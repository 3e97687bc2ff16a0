/**
 * For tests of the balloon: a driver that gives pages up (virtio 1.2 §5.5.6).
 *
 * @module
 */
import { MiB } from "../../../guest/layout.ts";
import { GuestMemory, PAGE_SIZE } from "../../../guest/memory.ts";
import { Balloon } from "../balloon/balloon.ts";
import type { BalloonStats } from "../balloon/command.ts";
import { BalloonConfig, type BalloonOptions } from "../balloon/spec.ts";
import { MmioRegister } from "../transport/mmio.ts";
import {
  MockDriver,
  type MockDriverOptions,
  type StartOptions,
} from "./mod.ts";
import type { DriverBuffer } from "./queue.ts";

/** Where {@linkcode BalloonDriver.fill} starts: nothing else is there. */
export const FIRST_PAGE = MiB / PAGE_SIZE;

/** A driver of one balloon. */
export class BalloonDriver extends MockDriver {
  /** A balloon as `balloon` says, started. */
  constructor(
    balloon: BalloonOptions = {},
    options: MockDriverOptions & StartOptions = {},
  ) {
    super(new Balloon(balloon), options);
    this.start(options);
  }

  /** Writes `count` pages from {@linkcode FIRST_PAGE} on full of 0x55. */
  fill(count: number): void {
    this.memory.bytes(FIRST_PAGE * PAGE_SIZE, count * PAGE_SIZE).fill(0x55);
  }

  /** Which of `count` pages still hold what {@linkcode fill} wrote. */
  kept(count: number): number[] {
    return Array.from({ length: count }, (_, i) => i).filter((i) =>
      this.memory.bytes((FIRST_PAGE + i) * PAGE_SIZE, PAGE_SIZE)
        .every((byte) => byte === 0x55)
    );
  }

  /** A buffer with these page numbers. */
  pages(...numbers: number[]): DriverBuffer {
    return this.buffer(new Uint8Array(Uint32Array.from(numbers).buffer));
  }

  /** Makes a chain available in `queue`, rings, and returns its head. */
  send(queue: number, ...buffers: DriverBuffer[]): number {
    const head = this.queues[queue]!.add(buffers);
    if (head < 0) throw new Error("the queue is full");
    this.ring(queue);
    return head;
  }

  /** A 32-bit field of the configuration space. */
  field(name: keyof typeof BalloonConfig): number {
    return this.get(MmioRegister.Config + BalloonConfig[name]);
  }

  /** Writes one. */
  setField(name: keyof typeof BalloonConfig, value: number): void {
    this.set(MmioRegister.Config + BalloonConfig[name], value);
  }

  /** What the device answers its owner. */
  get stats(): BalloonStats {
    return this.activated.command({ type: "stats" }) as BalloonStats;
  }

  /** RAM on both sides of the MMIO hole, as little as that takes. */
  static memoryAroundHole(): GuestMemory {
    return GuestMemory.allocate(3 * 1024 * MiB + 16 * MiB, {
      hugePages: false,
    });
  }
}
