/**
 * As much of the i8042 keyboard controller as a machine without a keyboard
 * needs: its buffers are always empty, and it pulses the CPU's reset line,
 * which is how Linux reboots a PC (`reboot=k`).
 *
 * It answers no other command. Linux's i8042 driver gives up after its time
 * limit of half a second for the first one; `i8042.noaux`-style switches or a
 * FADT without the 8042 flag spare that.
 *
 * @module
 */
import { ByteDevice } from "../bus.ts";

/** Each of the two ports has a device of its own, for there is a gap. */
export const I8042_PORTS = 1;

/** Status register: keyboard not inhibited, self-test passed, no data. */
const STATUS = 0x14;

/**
 * Commands 0xF0 to 0xFF pulse the output lines whose bit is 0; line 0 is the
 * CPU's reset.
 */
const PULSE = 0xf0;
const PULSE_RESET = 0x01;

/** What the controller asks of the machine. */
export interface I8042Hooks {
  /** The guest wants the machine reset. */
  reset(): void;
}

/** Port 0x64: status and commands. */
export class I8042Command extends ByteDevice {
  readonly #hooks: I8042Hooks;

  /** A controller that is idle. */
  constructor(hooks: I8042Hooks) {
    super();
    this.#hooks = hooks;
  }

  /** Both buffers are empty. */
  override readByte(_offset: number): number {
    return STATUS;
  }

  /** Obeys a reset pulse, ignores everything else. */
  override writeByte(_offset: number, value: number): void {
    if ((value & PULSE) === PULSE && (value & PULSE_RESET) === 0) {
      this.#hooks.reset();
    }
  }
}

/** Port 0x60: data, of which there is none. */
export class I8042Data extends ByteDevice {
  /** What an empty buffer holds. */
  override readByte(_offset: number): number {
    return 0;
  }

  /** No keyboard listens. */
  override writeByte(_offset: number, _value: number): void {}
}
