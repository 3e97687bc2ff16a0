/**
 * A worker and the messages that are awaited from it.
 *
 * @module
 */
import type {
  DeviceWorkerStart,
  VcpuWorkerStart,
  WorkerMessage,
} from "./messages.ts";

/** The entry point of a vCPU's worker. */
export const VCPU_WORKER: URL = new URL("./vcpu_worker.ts", import.meta.url);
/** The entry point of the device worker. */
export const DEVICE_WORKER: URL = new URL(
  "./device_worker.ts",
  import.meta.url,
);

/** A worker as a machine sees it: a thread, or a part of one. */
export type MachineWorker = Pick<WorkerThread, keyof WorkerThread>;

/** One worker of a machine. */
export class WorkerThread {
  /** Resolves when the worker has let go of everything. */
  readonly stopped: Promise<void>;
  readonly #worker: Worker;
  readonly #awaited: Map<string, () => void> = new Map();

  /** Starts the module at `url`; `onMessage` gets every message. */
  constructor(url: URL, onMessage: (message: WorkerMessage) => void) {
    const stopped = Promise.withResolvers<void>();
    this.stopped = stopped.promise;
    this.#worker = new Worker(url, { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<WorkerMessage>) => {
      if (data.type === "stopped") stopped.resolve();
      onMessage(data);
      this.#awaited.get(data.type)?.();
      this.#awaited.delete(data.type);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      onMessage({
        type: "end",
        end: { reason: "error", message: event.message },
      });
      stopped.resolve();
    };
  }

  /**
   * Gives the worker its start message. With something to transfer, the first
   * of all would take 10 ms.
   */
  post(message: DeviceWorkerStart | VcpuWorkerStart | string): void {
    this.#worker.postMessage(message);
  }

  /** The next message of this type. */
  next(type: WorkerMessage["type"]): Promise<void> {
    return new Promise((resolve) => this.#awaited.set(type, resolve));
  }

  /** Ends the worker; it must not be in `KVM_RUN` any more. */
  terminate(): void {
    this.#worker.terminate();
  }
}
