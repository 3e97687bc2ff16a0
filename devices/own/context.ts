/**
 * What a module of the user's is given, whatever it is the code of: a virtio
 * device, a plain one, a backend.
 *
 * @module
 */
import type { GuestMemory } from "../../guest/memory.ts";
import type { Watcher } from "../runtime/event_loop.ts";

/** What happened in a module, in its own words. */
export interface OwnEvent {
  /** What the configuration calls the device. */
  device: string;
  /** When, in milliseconds since 1970, to fractions of a microsecond. */
  time: number;
  /** What happened. */
  name: string;
  /** Plain data. */
  data?: unknown;
}

/** What a module may ask of the thread that runs it. */
export interface OwnContext {
  /** What the configuration calls the device. */
  readonly name: string;
  /** The guest's RAM. */
  readonly memory: GuestMemory;
  /** One line for {@linkcode MachineOptions.onLog}; the name is put in front. */
  log(message: string): void;
  /** An event for {@linkcode MachineOptions.onEvent}; `data` is plain. */
  emit(name: string, data?: unknown): void;
  /**
   * Calls `callback` once, in `milliseconds`, which may be a fraction. A
   * snapshot does not have it.
   *
   * @returns takes the call back
   */
  setTimer(milliseconds: number, callback: () => unknown): () => void;
  /** Calls `watcher` when `fd` is ready: `events` are {@linkcode Events}. */
  watch(fd: number, watcher: Watcher, events?: number): void;
  /** Changes what `fd` is watched for. */
  modifyWatch(fd: number, events: number): void;
  /** Forgets `fd`; it stays open. */
  unwatch(fd: number): void;
}
