/**
 * A vCPU's worker that begins before anything is known of its machine: it loads
 * its modules while the main isolate loads its own.
 *
 * @module
 */
import { MACHINE_DESCRIPTORS, needDescriptors } from "../ffi/descriptors.ts";
import type { ResolvedConfig } from "./config/resolve.ts";
import type { WorkerMessage } from "./messages.ts";
import { VCPU_WORKER, WorkerThread } from "./worker_thread.ts";

/** The worker of the first vCPU, for the one machine of a process. */
export class EarlyVcpu implements Disposable {
  readonly #thread: WorkerThread;
  readonly #said: WorkerMessage[] = []; // so far
  #hear = (message: WorkerMessage): void => void this.#said.push(message);
  #taken = false;

  /**
   * Begins it.
   *
   * @throws {VireoError} there are no descriptors for a machine
   */
  constructor() {
    needDescriptors(MACHINE_DESCRIPTORS, "a machine");
    const hear = (message: WorkerMessage) => this.#hear(message);
    this.#thread = new WorkerThread(VCPU_WORKER, hear);
  }

  /** It loads how this host's KVM is helped, if that has to be. */
  help(emulation: string | undefined): void {
    if (emulation !== undefined && !this.#taken) this.#thread.post(emulation);
  }

  /**
   * Whether this machine's devices may begin after its vCPUs, which wait for
   * them when they get there. A PCI bus is its devices' to restore, and what is
   * wrong with modules of the user's own is to be known before the start.
   */
  isFirst({ transport, devices }: ResolvedConfig): boolean {
    return transport === "mmio" &&
      !devices.some(({ kind, config }) => kind.early?.(config));
  }

  /**
   * The worker, whose messages are `onMessage`'s from now on; undefined: it was
   * taken already.
   */
  take(onMessage: (message: WorkerMessage) => void): WorkerThread | undefined {
    if (this.#taken) return undefined;
    this.#taken = true;
    this.#hear = onMessage;
    this.#said.forEach(onMessage);
    return this.#thread;
  }

  /** Ends it, unless a machine has taken it. */
  [Symbol.dispose](): void {
    if (!this.#taken) this.#thread.terminate();
    this.#taken = true;
  }
}
