/**
 * Workers that begin before anything is known of their machine: they load their
 * modules while the main isolate loads its own.
 *
 * @module
 */
import { MACHINE_DESCRIPTORS, needDescriptors } from "../ffi/descriptors.ts";
import type { ResolvedConfig } from "./config/resolve.ts";
import type { WorkerMessage } from "./messages.ts";
import { DEVICE_WORKER, VCPU_WORKER, WorkerThread } from "./worker_thread.ts";

const RECORD = new URL("./trace/device_recorder.ts", import.meta.url).href;

/** One of them, and what it has said so far. */
interface Early {
  readonly url: string;
  readonly thread: WorkerThread;
  readonly said: WorkerMessage[];
  hear(message: WorkerMessage): void;
}

/** The device worker and one vCPU's, for the one machine of a process. */
export class EarlyWorkers implements Disposable {
  readonly #waiting: Early[] = [];

  /**
   * Begins them.
   *
   * @throws {VireoError} there are no descriptors for a machine
   */
  constructor() {
    needDescriptors(MACHINE_DESCRIPTORS, "a machine");
    // It has the more to load.
    this.#begin(DEVICE_WORKER);
    this.#begin(VCPU_WORKER);
  }

  #begin(url: URL): void {
    const said: WorkerMessage[] = [];
    const early: Early = {
      url: url.href,
      thread: new WorkerThread(url, (message) => early.hear(message)),
      said,
      hear: (message) => void said.push(message),
    };
    this.#waiting.push(early);
  }

  /** Those that are waiting load what devices of these kinds need. */
  load(devices: ResolvedConfig["devices"]): void {
    const makers = devices.map(({ kind }) => kind.make.href);
    for (const { url, thread } of this.#waiting) {
      if (url !== DEVICE_WORKER.href) continue;
      for (const module of [RECORD, ...makers]) thread.post(module);
    }
  }

  /**
   * One with the entry point `url`, whose messages are `onMessage`'s from now
   * on; undefined: there is none any more.
   */
  take(
    url: URL,
    onMessage: (message: WorkerMessage) => void,
  ): WorkerThread | undefined {
    const index = this.#waiting.findIndex((early) => early.url === url.href);
    if (index < 0) return undefined;
    const [early] = this.#waiting.splice(index, 1);
    early!.hear = onMessage;
    early!.said.forEach(onMessage);
    return early!.thread;
  }

  /** Ends those that no machine has taken. */
  [Symbol.dispose](): void {
    for (const { thread } of this.#waiting.splice(0)) thread.terminate();
  }
}
