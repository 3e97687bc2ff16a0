/**
 * Commands to devices, and their answers: for what the machine's owner changes
 * while the guest runs, such as a balloon's target.
 *
 * The device worker sits in `epoll_wait` and never returns to its event loop,
 * so it takes commands from a message port by hand when the control eventfd
 * has woken it. Answers are ordinary messages of the worker.
 *
 * @module
 */
import type * as WorkerThreads from "node:worker_threads";
import { VireoError } from "../ffi/error.ts";
import { nodeModule } from "../ffi/node_module.ts";
import type { Control } from "./control.ts";
import type { CommandAnswer, DeviceCommand } from "./messages.ts";

/**
 * The place of the device of this name among `devices`.
 *
 * @throws {VireoError} there is none, or more than one
 */
export function deviceNamed(
  devices: readonly { name: string }[],
  name: string,
): number {
  const index = devices.findIndex((device) => device.name === name);
  if (index < 0) throw new VireoError(`this machine has no ${name}`);
  if (devices.findLastIndex((device) => device.name === name) === index) {
    return index;
  }
  throw new VireoError(`this machine has two devices called ${name}`);
}

/** In the place of a device: the command is one of {@linkcode AllCommand}. */
export const ALL_DEVICES = -1;

/** The main isolate's end. */
export class DeviceChannel {
  #port: MessagePort | undefined;
  readonly #waiting: DeviceCommand[] = []; // for the port
  readonly #control: Control;
  readonly #wake: () => void;
  readonly #open: Map<number, PromiseWithResolvers<unknown>> = new Map();
  #closed: string | undefined;
  #next = 0;

  /** A channel to the worker that `wake` wakes. */
  constructor(control: Control, wake: () => void) {
    this.#control = control;
    this.#wake = wake;
  }

  /** The device worker's end has come; what was sent before goes there. */
  connect(port: MessagePort): void {
    if (this.#closed !== undefined) return port.close();
    this.#port = port;
    for (const command of this.#waiting.splice(0)) this.#post(port, command);
  }

  #post(port: MessagePort, command: DeviceCommand): void {
    port.postMessage(command);
    this.#control.announceMessages();
    this.#wake();
  }

  /**
   * Sends `command`, plain data, to device `device`, in the order of windows.
   * A device that has not been made yet gets it when it is.
   *
   * @throws {VireoError} what the device objects to; or the machine ended
   */
  send(device: number, command: unknown): Promise<unknown> {
    const answer = Promise.withResolvers<unknown>();
    if (this.#closed !== undefined) {
      answer.reject(new VireoError(this.#closed));
      return answer.promise;
    }
    const id = this.#next++;
    const message: DeviceCommand = { id, device, command };
    try {
      if (this.#port !== undefined) this.#post(this.#port, message);
      else this.#waiting.push(structuredClone(message));
    } catch (error) { // DataCloneError
      answer.reject(new VireoError(`command: ${(error as Error).message}`));
      return answer.promise;
    }
    this.#open.set(id, answer);
    return answer.promise;
  }

  /** The device worker has answered. */
  answered({ id, value, error }: CommandAnswer): void {
    const answer = this.#open.get(id);
    this.#open.delete(id);
    if (error === undefined) answer?.resolve(value);
    else answer?.reject(new VireoError(error));
  }

  /** No answer comes any more, for the reason `reason`. */
  close(reason: string): void {
    this.#closed = reason;
    this.#port?.close();
    for (const { reject } of this.#open.values()) {
      reject(new VireoError(reason));
    }
    this.#open.clear();
  }
}

/** The device worker's end. */
export class DeviceCommands {
  readonly #port: MessagePort;
  readonly #control: Control;
  #receive: typeof WorkerThreads.receiveMessageOnPort | undefined;

  /** Takes commands from `port`, whose other end is the main isolate's. */
  constructor(port: MessagePort, control: Control) {
    this.#port = port;
    this.#control = control;
  }

  /**
   * Carries out what waits: `run` returns the answer, or throws the objection.
   */
  serve(
    run: (device: number, command: unknown) => unknown,
    answer: (answer: CommandAnswer) => void,
  ): void {
    if (!this.#control.takeMessages()) return;
    for (
      let message = this.#take();
      message !== undefined;
      message = this.#take()
    ) {
      const { id, device, command } = message;
      const refuse = (error: unknown) => {
        const text = error instanceof Error ? error.message : String(error);
        answer({ id, error: text });
      };
      try {
        const value = run(device, command);
        if (!(value instanceof Promise)) answer({ id, value });
        else value.then((value) => answer({ id, value })).catch(refuse);
      } catch (error) {
        refuse(error);
      }
    }
  }

  #take(): DeviceCommand | undefined {
    this.#receive ??= nodeModule<typeof WorkerThreads>("node:worker_threads")
      .receiveMessageOnPort;
    const port = this.#port as unknown as WorkerThreads.MessagePort;
    return this.#receive(port)?.message;
  }
}
