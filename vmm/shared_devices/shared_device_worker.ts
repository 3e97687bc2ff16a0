/**
 * The main isolate's side of a device worker that several machines share.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import type { ResolvedConfig } from "../config/mod.ts";
import type {
  DeviceWorkerStart,
  VcpuWorkerStart,
  WorkerMessage,
} from "../messages.ts";
import type { MachineWorker } from "../worker_thread.ts";
import type { Joining, SharedMessage, SharedStart } from "./messages.ts";

const ENTRY = new URL("./worker.ts", import.meta.url);

type Hear = (message: WorkerMessage) => void;

/**
 * One thread for the virtio devices of several machines of this program: for
 * `deviceWorker` in `MachineOptions`. Each further machine takes 11 MiB
 * instead of 24. Their devices take turns, so that a guest waits while another
 * one's requests are carried out; with a disk that the host lets hang, all wait.
 *
 * The thread begins with the first of its machines, and ends with the last. If
 * it fails, all of them end with an error; what goes wrong in the devices of one
 * machine ends that one alone.
 *
 * @example
 * ```ts ignore
 * const deviceWorker = new SharedDeviceWorker();
 * const a = await Machine.create(config, { deviceWorker });
 * const b = await Machine.create(config, { deviceWorker });
 * ```
 */
export class SharedDeviceWorker {
  #thread: SharedThread | undefined; // while machines use it

  /** How many machines have their devices there now. */
  get machines(): number {
    return this.#thread?.size ?? 0;
  }

  /**
   * @internal
   * @throws {VireoError} a machine like this can't share the thread
   */
  admit({ devices }: ResolvedConfig): void {
    if (!devices.some(({ kind, config }) => kind.early?.(config))) return;
    throw new VireoError(
      "a machine with code of your own on its devices' thread needs that " +
        "for itself: leave deviceWorker out",
    );
  }

  /** @internal A machine's part of the thread, which begins with the first. */
  join(hear: Hear): MachineWorker {
    const thread = this.#thread ??= new SharedThread(() => {
      if (this.#thread === thread) this.#thread = undefined;
    });
    return thread.join(hear);
  }
}

/** The thread, for as long as there are machines. */
class SharedThread {
  readonly #places: Map<number, Place> = new Map();
  readonly #wake = new EventFd();
  readonly #posted = new Int32Array(new SharedArrayBuffer(4));
  readonly #worker: Worker;
  readonly #ended: () => void;
  #next = 0;

  constructor(ended: () => void) {
    using wake = new DisposableStack(); // unless there is a thread
    wake.use(this.#wake);
    this.#ended = ended;
    this.#worker = new Worker(ENTRY, { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<SharedMessage>) =>
      this.#places.get(data.machine)?.heard(data.message);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#failed(event.message);
    };
    const start: SharedStart = {
      wakeFd: this.#wake.fd,
      posted: this.#posted.buffer,
    };
    this.#worker.postMessage(start);
    wake.move();
  }

  /** How many machines there are. */
  get size(): number {
    return this.#places.size;
  }

  join(hear: Hear): Place {
    const machine = this.#next++;
    const place = new Place(
      hear,
      (start) => this.#post({ machine, start }),
      () => this.#leave(machine),
    );
    this.#places.set(machine, place);
    return place;
  }

  /** The thread may sleep: it is told that there is a message, and woken. */
  #post(message: Joining): void {
    this.#worker.postMessage(message);
    Atomics.add(this.#posted, 0, 1);
    this.#wake.signal();
  }

  #leave(machine: number): void {
    if (!this.#places.delete(machine) || this.#places.size > 0) return;
    this.#ended();
    this.#worker.terminate();
    this.#wake.close();
  }

  /** No machine comes to a thread that has failed. */
  #failed(why: string): void {
    this.#ended();
    const count = this.#places.size;
    const message = count === 1
      ? `the device worker has failed: ${why}`
      : `the device worker that ${count} machines share has failed: ${why}`;
    for (const place of [...this.#places.values()]) {
      place.heard({ type: "end", end: { reason: "error", message } });
      place.heard({ type: "stopped" });
    }
  }
}

/** One machine's part of the thread. */
class Place implements MachineWorker {
  readonly stopped: Promise<void>;
  readonly #stop: () => void;
  readonly #hear: Hear;
  readonly #begin: (start: DeviceWorkerStart) => void;
  readonly #leave: () => void;
  readonly #awaited: Map<string, () => void> = new Map();

  constructor(
    hear: Hear,
    begin: (start: DeviceWorkerStart) => void,
    leave: () => void,
  ) {
    ({ promise: this.stopped, resolve: this.#stop } = Promise.withResolvers());
    this.#hear = hear;
    this.#begin = begin;
    this.#leave = leave;
  }

  /** The thread says something of this machine. */
  heard(message: WorkerMessage): void {
    if (message.type === "stopped") this.#stop();
    this.#hear(message);
    this.#awaited.get(message.type)?.();
    this.#awaited.delete(message.type);
  }

  /** Only ever what a device worker is told. */
  post(start: DeviceWorkerStart | VcpuWorkerStart | string): void {
    this.#begin(start as DeviceWorkerStart);
  }

  next(type: WorkerMessage["type"]): Promise<void> {
    return new Promise((resolve) => this.#awaited.set(type, resolve));
  }

  terminate(): void {
    this.#leave();
  }
}
