/**
 * What a console port is connected to: a stream of bytes each way. It knows
 * nothing of virtqueues.
 *
 * @module
 */
import type { Watcher } from "../../runtime/event_loop.ts";

/** Where a backend waits: an event loop, or a device's context. */
export interface ConsoleLoop {
  /** Calls `watcher` when `fd` is ready. */
  watch(fd: number, watcher: Watcher, events?: number): void;
  /** Forgets `fd`. */
  unwatch(fd: number): void;
}

/** The host's end of a console port. Reading and writing allocate nothing. */
export interface ConsoleBackend {
  /** Somebody is there. What is written to nobody is lost. */
  readonly connected: boolean;
  /**
   * Waits in `loop`, and calls `changed` when there is input, or room after
   * there was none, or when `connected` has changed. It may be called for
   * nothing.
   */
  attach(loop: ConsoleLoop, changed: () => void): void;
  /**
   * Takes `bytes` from `start` up to `end`, or as many as there is room for;
   * returns how many.
   */
  write(bytes: Uint8Array, start: number, end: number): number;
  /**
   * Puts input into `bytes` from `start` up to `end`; returns how many bytes,
   * 0 when there is none. What isn't read waits.
   */
  read(bytes: Uint8Array, start: number, end: number): number;
  /** The machine is another one from now on: who was connected is gone. */
  another?(): void;
  /** Releases what the backend holds. */
  close(): void;
}
