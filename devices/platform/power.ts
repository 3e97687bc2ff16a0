/**
 * Power-off and reset: the sleep registers of hardware-reduced ACPI, and the
 * reset control register of PC chipsets at port 0xCF9.
 *
 * @module
 */
import { SLP_TYP_S5 } from "../../guest/layout.ts";
import { ByteDevice } from "../bus.ts";

/** Ports of {@linkcode SleepRegisters}: control, then status. */
export const SLEEP_PORTS = 2;

/** Ports of {@linkcode ResetControl}. */
export const RESET_PORTS = 1;

// Sleep control register (ACPI 6.4, §4.8.3.7).
const SLEEP_CONTROL = 0;
const SLP_TYP_SHIFT = 2;
const SLP_TYP_MASK = 0x7;
const SLP_EN = 0x20;

/** What the power registers ask of the machine. */
export interface PowerHooks {
  /** The guest wants the machine off. */
  powerOff(): void;
  /** The guest wants the machine reset. */
  reset(): void;
}

/**
 * The registers that the FADT calls `SLEEP_CONTROL_REG` and, at the next
 * port, `SLEEP_STATUS_REG`. Linux uses the first only when it has both.
 */
export class SleepRegisters extends ByteDevice {
  readonly #hooks: Pick<PowerHooks, "powerOff">;

  /** Registers of a machine that is awake. */
  constructor(hooks: Pick<PowerHooks, "powerOff">) {
    super();
    this.#hooks = hooks;
  }

  /** Nothing to see: no sleep state but S5 exists, so it never wakes. */
  override readByte(_offset: number): number {
    return 0;
  }

  /** Obeys `SLP_EN` with the type of S5. */
  override writeByte(offset: number, value: number): void {
    if (offset !== SLEEP_CONTROL || (value & SLP_EN) === 0) return;
    const type = (value >> SLP_TYP_SHIFT) & SLP_TYP_MASK;
    if (type === SLP_TYP_S5) this.#hooks.powerOff();
  }
}

// Reset control register (Intel ICH9 data sheet, §13.7.5).
const RST_CPU = 0x04;

/**
 * Port 0xCF9. Linux writes the reset type (bits 1 and 3) first, then the same
 * with bit 2, which resets.
 */
export class ResetControl extends ByteDevice {
  readonly #hooks: Pick<PowerHooks, "reset">;

  /** A register that resets through `hooks`. */
  constructor(hooks: Pick<PowerHooks, "reset">) {
    super();
    this.#hooks = hooks;
  }

  /** The type of reset makes no difference, so it is not kept. */
  override readByte(_offset: number): number {
    return 0;
  }

  /** Obeys bit 2. */
  override writeByte(_offset: number, value: number): void {
    if (value & RST_CPU) this.#hooks.reset();
  }
}
