/**
 * The main isolate's end of the guest's console: of the serial port, and of
 * the virtio console when that is the main one.
 *
 * @module
 */
import type { HostEnd } from "../devices/backends/console/channel.ts";
import { Serial, type SerialHooks } from "../devices/platform/serial.ts";

/** What the guest prints and reads, as one stream each way. */
export class MainConsole {
  readonly #serial: Serial;
  readonly #port: HostEnd | undefined;
  readonly #onOutput: (bytes: Uint8Array) => void;
  readonly #input: Uint8Array[] = [];

  /**
   * The console of one machine.
   *
   * @param serial the serial port's shared state
   * @param port the virtio console's, when it takes the input
   * @param onOutput gets what comes from either
   */
  constructor(
    serial: SharedArrayBuffer,
    port: HostEnd | undefined,
    hooks: Pick<SerialHooks, "raiseInterrupt" | "stopping">,
    onOutput: (bytes: Uint8Array) => void,
  ) {
    this.#serial = new Serial(serial, {
      ...hooks,
      outputReady: () => this.drainOutput(),
      inputRoom: () => this.pushInput(),
    });
    this.#port = port;
    this.#onOutput = onOutput;
  }

  /** Bytes for the guest; none is lost. */
  input(bytes: Uint8Array): void {
    this.#input.push(bytes);
    this.pushInput();
  }

  /** Passes on all output that there is. */
  drainOutput(): void {
    for (const end of [this.#serial, this.#port]) {
      const bytes = end?.drainOutput();
      if (bytes?.length) this.#onOutput(bytes);
    }
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
  }
}
