/**
 * Commands to devices, and their answers: for what the machine's owner changes
 * while the guest runs, such as a balloon's target.
 *
 * The device worker sits in `epoll_wait`, where no message reaches it: when the
 * control eventfd has woken it, it turns Deno's event loop until all that was
 * announced is there. Answers are ordinary messages of the worker.
 *
 * @module
 */
import { VireoError } from "../ffi/error.ts";
import type { Control } from "./control.ts";
import type {
  AllCommand,
  CommandAnswer,
  DeviceCommand,
  WorkerMessage,
} from "./messages.ts";

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

const OVER = "the machine has ended";

/** In the place of a device: the command is one of {@linkcode AllCommand}. */
export const ALL_DEVICES = -1;

/** The main isolate's end. */
export class DeviceChannel {
  #port: MessagePort | undefined;
  readonly #waiting: DeviceCommand[] = []; // for the port
  readonly #control: Control;
  readonly #wake: () => void;
  readonly #open: Map<number, PromiseWithResolvers<unknown>> = new Map();
  #refuses = false;
  #next = 0;

  /** A channel to the worker that `wake` wakes. */
  constructor(control: Control, wake: () => void) {
    this.#control = control;
    this.#wake = wake;
  }

  /** The device worker's end has come; what was sent before goes there. */
  connect(port: MessagePort): void {
    if (this.#refuses) return port.close();
    this.#port = port;
    for (const command of this.#waiting.splice(0)) this.#post(port, command);
  }

  #post(port: MessagePort, command: DeviceCommand): void {
    port.postMessage(command);
    this.#control.announceMessage();
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
    if (this.#refuses) {
      answer.reject(new VireoError(OVER));
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

  /** The machine ends: nothing more is sent; what was done may still be told. */
  refuse(): void {
    this.#refuses = true;
  }

  /** No answer comes any more. */
  close(): void {
    this.refuse();
    this.#port?.close();
    for (const { reject } of this.#open.values()) {
      reject(new VireoError(OVER));
    }
    this.#open.clear();
  }
}

/** What carries commands out: it returns the answer, or objects. */
interface Devices {
  all(command: AllCommand): unknown;
  one(device: number, command: unknown): unknown;
}

/** The device worker's end. */
export class DeviceCommands {
  readonly #port: MessagePort;
  readonly #control: Control;
  readonly #post: (message: WorkerMessage) => void;
  readonly #devices: Devices;
  #served = 0;
  #came: () => void = () => {};

  /** Commands that come from `port`, whose other end is the main isolate's. */
  constructor(
    port: MessagePort,
    control: Control,
    post: (message: WorkerMessage) => void,
    devices: Devices,
  ) {
    this.#port = port;
    this.#control = control;
    this.#post = post;
    this.#devices = devices;
  }

  /** From now on they are carried out, as Deno's event loop brings them. */
  begin(): void {
    this.#port.onmessage = ({ data }) => {
      this.#serve(data);
      this.#served = this.#served + 1 | 0;
      this.#came();
    };
  }

  /** True while one is on its way. It may come before it is announced. */
  get waiting(): boolean {
    return (this.#control.messages - this.#served | 0) > 0;
  }

  /** Waits until all that are on their way are carried out. */
  async serve(): Promise<void> {
    while (this.waiting) {
      await new Promise<void>((came) => this.#came = came);
    }
  }

  /** The answer is told at once: what waits for a turn may wait for long. */
  #serve({ id, device, command }: DeviceCommand): void {
    const answer = (answer: CommandAnswer) =>
      this.#post({ type: "answer", answer });
    const refuse = (error: unknown) => {
      const text = error instanceof Error ? error.message : String(error);
      answer({ id, error: text });
    };
    try {
      const value = device === ALL_DEVICES
        ? this.#devices.all(command as AllCommand)
        : this.#devices.one(device, command);
      if (!(value instanceof Promise)) answer({ id, value });
      else value.then((value) => answer({ id, value })).catch(refuse);
    } catch (error) {
      refuse(error);
    }
  }
}
