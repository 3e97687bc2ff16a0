/**
 * The main isolate's end of the guest's console: of the serial port, and of
 * the virtio console when that is the main one.
 *
 * @module
 */
import type { HostEnd } from "../devices/backends/console/channel.ts";
import { Serial } from "../devices/platform/serial.ts";
import type { MachineOptions } from "./machine_options.ts";

/** What the guest prints and reads, as one stream each way. */
export class MainConsole {
  readonly #serial: Serial;
  readonly #port: HostEnd | undefined;
  readonly #options: MachineOptions;
  readonly #input: Uint8Array[] = [];
  #inputRoom: PromiseWithResolvers<void> | undefined;
  #readers = 0; // that are not done with what they got

  /**
   * The console of one machine.
   *
   * @param serial the serial port's shared state
   * @param port the virtio console's, when it takes the input
   * @param raiseInterrupt that of the serial port
   * @param options `onOutput` gets what comes from either
   */
  constructor(
    serial: SharedArrayBuffer,
    port: HostEnd | undefined,
    raiseInterrupt: () => void,
    options: MachineOptions,
  ) {
    this.#serial = new Serial(serial, {
      raiseInterrupt,
      outputReady: () => this.drainOutput(),
      inputRoom: () => this.pushInput(),
      stopping: () => false, // here, nobody writes
    });
    this.#port = port;
    this.#options = options;
  }

  /** Bytes for the guest; none is lost. A promise of room: it has none now. */
  input(bytes: Uint8Array): Promise<void> | undefined {
    this.#input.push(bytes);
    this.pushInput();
    if (this.#input.length === 0) return undefined;
    return (this.#inputRoom ??= Promise.withResolvers()).promise;
  }

  /** Passes on all output that there is, unless it has to wait. */
  drainOutput(): void {
    if (this.#readers > 0) return;
    for (const end of [this.#serial, this.#port]) {
      const bytes = end?.drainOutput();
      const done = bytes?.length && this.#options.onOutput?.(bytes);
      if (!(done instanceof Promise)) continue;
      this.#readers++;
      done.then(() => {
        this.#readers--;
        this.drainOutput();
      });
    }
  }

  /** The guest that the input was for is no more; no thread takes any. */
  dropInput(): void {
    this.#input.length = 0;
    this.#port?.dropInput();
    this.#inputRoom?.resolve();
    this.#inputRoom = undefined;
  }

  /** The guest has ended: nothing waits any more, and nothing is drained. */
  close(): void {
    this.#readers = 0;
    this.drainOutput();
    this.#readers = Infinity;
    this.#inputRoom?.resolve();
  }

  /** Gives the guest as much of the input as there is room for. */
  pushInput(): void {
    const end = this.#port ?? this.#serial;
    while (this.#input.length > 0) {
      const bytes = this.#input[0]!;
      const taken = end.pushInput(bytes);
      if (taken < bytes.length) {
        this.#input[0] = bytes.subarray(taken);
        return;
      }
      this.#input.shift();
    }
    this.#inputRoom?.resolve();
    this.#inputRoom = undefined;
  }
}
