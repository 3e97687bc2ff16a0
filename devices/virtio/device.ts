/**
 * What a virtio device is to the rest of Vireo. A device never sees its
 * transport; it has queues, a configuration space, and a context.
 *
 * @module
 */
import type { Watcher } from "../runtime/event_loop.ts";
import type { GuestMemory } from "../../guest/memory.ts";
import type { QueueState, VirtQueue } from "./queue/queue.ts";
import type { DeviceRecord } from "./device_record.ts";
import type { FeatureWords } from "./spec.ts";

/** What a device may ask of the thread that runs it. */
export interface DeviceContext {
  /** The guest's RAM. */
  readonly memory: GuestMemory;
  /** The device's queues; those that the driver set up are `live`. */
  readonly queues: readonly VirtQueue[];
  /** True when the driver accepted feature bit `bit`. */
  hasFeature(bit: number): boolean;
  /** Shows pushed chains to the driver, with an interrupt if it wants one. */
  publish(queue: VirtQueue): void;
  /** The configuration space as the driver reads it. */
  readonly config: Uint8Array;
  /** Tells the driver that the configuration space changed (§2.5). */
  configChanged(change: (config: Uint8Array) => void): void;
  /** The device can't go on until it is reset (§2.1.2). */
  needsReset(reason: string): void;
  /** Calls `watcher` when `fd` is ready. */
  watch(fd: number, watcher: Watcher, events?: number): void;
  /** Changes what `fd` is watched for. */
  modifyWatch(fd: number, events: number): void;
  /** Forgets `fd`. */
  unwatch(fd: number): void;
  /** Where the device tells what it does, for metrics and traces. */
  readonly record?: DeviceRecord | undefined;
}

/** A virtio device. It runs on the device worker. */
export interface VirtioDevice {
  /** The device id (§5). */
  readonly deviceId: number;
  /** Offered feature bits; `VERSION_1` is always offered too. */
  readonly features: FeatureWords;
  /** The largest size of each queue, powers of two. */
  readonly queueSizes: readonly number[];
  /** The initial configuration space. */
  readonly config: Uint8Array;

  /** Once, before the guest runs. */
  attach(context: DeviceContext): void;
  /** The driver has set DRIVER_OK: live queues may be used. */
  activate(): void;
  /**
   * The driver rang the doorbell of a live queue, or the thread has found a
   * chain there that the device has asked for by
   * {@linkcode VirtQueue.enableNotification}: once for each time that it has
   * asked, also when it takes no chain.
   */
  notify(queue: VirtQueue): void;
  /**
   * Lets go of all queues: no access to guest memory after it returns.
   * With `queue`, of that one only.
   */
  reset(queue?: VirtQueue): void;
  /** Looks for work that isn't in a queue, such as completions. */
  poll?(): boolean;
  /** The thread is about to sleep. True when there is work after all. */
  enable?(): boolean;
  /** The driver wrote to the configuration space. */
  writeConfig?(offset: number, size: number, value: number): void;
  /**
   * A command from outside the guest, in the device's own words: plain data,
   * and so is what it returns. What it throws is told to who sent it.
   */
  command?(command: unknown): unknown;
  /**
   * The machine is paused and is to be saved; a machine can be when all of its
   * devices have this. When it returns nothing is in flight: what was taken is
   * done, is back in its queue ({@linkcode VirtQueue.rewind}), or is part of
   * what {@linkcode VirtioDevice.save} gives, and neither the host's kernel nor
   * a thread uses guest memory for it. If the machine goes on, `notify` is
   * called for each live queue.
   */
  quiesce?(): void;
  /**
   * After {@linkcode VirtioDevice.quiesce}: the device's own state, as plain
   * data that `structuredClone` and JSON take; default: there is none. Queues,
   * registers, features and configuration space are the transport's to save.
   */
  save?(): unknown;
  /**
   * Goes on as saved, after `attach` and instead of `activate`, which is the
   * default (a device that no driver has activated begins anew): the queues that were live are so again, where they were, and each
   * is notified afterwards.
   *
   * @param state what `save` gave, perhaps in another process, from a file
   * @throws {VireoError} it is not this device's
   */
  restore?(state: unknown): void;
  /**
   * Releases what the device holds: the last call. It was reset before, unless
   * the machine could not be made; then it may not have been attached either.
   */
  close(): void;
}

/** A device as plain data, but for what it is made of. */
export interface SavedDevice {
  /** Its registers and configuration space: the transport's shared page. */
  page: Uint8Array;
  /** Its PCI function, where it is one. */
  pci?: Uint8Array;
  /** Where its queues are; null where one is not live. */
  queues: (QueueState | null)[];
  /** What {@linkcode VirtioDevice.save} gave. */
  data: unknown;
}
