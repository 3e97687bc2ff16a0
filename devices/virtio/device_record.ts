/**
 * What is counted of a device, and recorded while somebody wants that: the
 * device and its transport tell it here, and know nothing of who reads it.
 *
 * @module
 */
import type { VirtQueue } from "./queue/queue.ts";

/** Steps of a device's life, besides its work. */
export type DeviceStep =
  /** The driver has set DRIVER_OK. */
  | "activated"
  /** The driver has reset the device. */
  | "reset"
  /** The device can't go on. */
  | "needs-reset"
  /** Its rate limits hold it back. */
  | "throttled";

/** What a device tells of its work. No call allocates or waits. */
export interface DeviceRecord {
  /** A queue is served: `rung` by the driver, or found while polling. */
  served(queue: number, rung: boolean): void;
  /** The chains that were pushed are shown to the driver. */
  published(queue: VirtQueue): void;
  /** The guest is interrupted for a queue, or for the configuration: -1. */
  interrupted(source: number): void;
  /**
   * A request begins.
   *
   * @param tag names it until its end: below 256, and not in use
   * @param type as the device's chapter of the specification numbers it
   * @param sector where, in units of 512 bytes
   * @param bytes of its data
   */
  began(
    tag: number,
    queue: number,
    type: number,
    sector: number,
    bytes: number,
  ): void;
  /** It has ended; `status` as the driver sees it, -1: it is dropped. */
  ended(tag: number, status: number): void;
  /**
   * The first `count` of `lengths` are of frames: so many bytes with the header,
   * or one that was lost: -errno, or 0 where there is no link. One of -EAGAIN
   * is still to come.
   */
  frames(queue: number, lengths: Int32Array, count: number): void;
  /** A step of the device's life; `why` for people. */
  step(step: DeviceStep, why?: string): void;
  /**
   * An event of a device of one's own.
   *
   * @param name for people, at most 200 bytes
   * @param value any number
   */
  emit(name: string, value?: number): void;
}
