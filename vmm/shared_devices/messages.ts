/**
 * What the main isolate and a shared device worker say to each other.
 *
 * @module
 */
import type { DeviceWorkerStart, WorkerMessage } from "../messages.ts";

/** The first message to the worker. */
export interface SharedStart {
  /** Wakes it when there is another {@linkcode Joining}. */
  wakeFd: number;
  /** The first word: how many {@linkcode Joining}s there have been. */
  posted: SharedArrayBuffer;
}

/** A machine's devices are to be made, and served. */
export interface Joining {
  /** The machine's number, for its {@linkcode SharedMessage}s. */
  machine: number;
  /** Its devices. */
  start: DeviceWorkerStart;
}

/** What the worker says of one machine. */
export interface SharedMessage {
  /** The machine's number. */
  machine: number;
  /** As a worker of its own would say it. */
  message: WorkerMessage;
}
