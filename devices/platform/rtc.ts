/**
 * The MC146818 real-time clock and CMOS RAM behind ports 0x70 and 0x71.
 *
 * It shows the host's UTC. Writes to the time are ignored: the guest keeps
 * its own clock, and the next start reads the host's again. There is no
 * IRQ 8, so alarm, periodic and update interrupts never come. Memory-size
 * bytes are zero; a guest takes its memory map from the boot protocol.
 *
 * Section numbers are those of Motorola's MC146818 data sheet; register names
 * are those of Linux's include/linux/mc146818rtc.h.
 *
 * @module
 */
import { ByteDevice } from "../bus.ts";

/** Ports of the device: index and data. */
export const RTC_PORTS = 2;

const INDEX = 0;

/** Bit 7 of the index port masks NMI on a PC; it is not part of the index. */
const INDEX_MASK = 0x7f;

const CMOS_BYTES = 128;
/** In the shared state, behind the CMOS bytes. */
const INDEX_BYTE = CMOS_BYTES;
const STATE_BYTES = CMOS_BYTES + 4;

const Cmos = {
  SECONDS: 0x00,
  MINUTES: 0x02,
  HOURS: 0x04,
  DAY_OF_WEEK: 0x06,
  DAY_OF_MONTH: 0x07,
  MONTH: 0x08,
  YEAR: 0x09,
  REG_A: 0x0a,
  REG_B: 0x0b,
  REG_C: 0x0c,
  REG_D: 0x0d,
  CENTURY: 0x32,
} as const;

/** Register A: update in progress; and a 32.768 kHz divider, 1.024 kHz rate. */
const A_UIP = 0x80;
const A_RESET = 0x26;
/** Register B: updates halted, binary instead of BCD, 24 instead of 12 hours. */
const B_SET = 0x80;
const B_BINARY = 0x04;
const B_24_HOURS = 0x02;
/** Register D: the battery is good. */
const D_VALID = 0x80;

const PM = 0x80;

/**
 * UIP goes up at least 244 us before the update, so that a guest that saw it
 * clear has this long to read the time. The host's clock has milliseconds.
 */
const UIP_FROM_MS = 999;

/** One isolate's clock on the shared state. */
export class Rtc extends ByteDevice {
  readonly #cmos: Uint8Array<SharedArrayBuffer>;
  readonly #now: () => number;
  readonly #date = new Date(0);

  /** CMOS RAM and the index, which one vCPU may set for another. */
  static createState(): SharedArrayBuffer {
    const shared = new SharedArrayBuffer(STATE_BYTES);
    const cmos = new Uint8Array(shared);
    cmos[Cmos.REG_A] = A_RESET;
    cmos[Cmos.REG_B] = B_24_HOURS;
    return shared;
  }

  /**
   * The clock on what {@linkcode Rtc.createState} made. `now` gives
   * milliseconds since 1970, UTC.
   */
  constructor(shared: SharedArrayBuffer, now: () => number = Date.now) {
    super();
    this.#cmos = new Uint8Array(shared);
    this.#now = now;
  }

  /** The index port is write-only and reads as an empty bus. */
  override readByte(offset: number): number {
    if (offset === INDEX) return 0xff;
    return this.#readCmos(this.#cmos[INDEX_BYTE]!);
  }

  /** Sets the index, or the byte at the index. */
  override writeByte(offset: number, value: number): void {
    if (offset === INDEX) this.#cmos[INDEX_BYTE] = value & INDEX_MASK;
    else this.#writeCmos(this.#cmos[INDEX_BYTE]!, value);
  }

  #readCmos(index: number): number {
    const now = this.#now();
    const date = this.#date;
    date.setTime(now);
    switch (index) {
      case Cmos.SECONDS:
        return this.#encode(date.getUTCSeconds());
      case Cmos.MINUTES:
        return this.#encode(date.getUTCMinutes());
      case Cmos.HOURS:
        return this.#encodeHours(date.getUTCHours());
      case Cmos.DAY_OF_WEEK:
        return this.#encode(date.getUTCDay() + 1);
      case Cmos.DAY_OF_MONTH:
        return this.#encode(date.getUTCDate());
      case Cmos.MONTH:
        return this.#encode(date.getUTCMonth() + 1);
      case Cmos.YEAR:
        return this.#encode(date.getUTCFullYear() % 100);
      case Cmos.CENTURY:
        return this.#encode(Math.floor(date.getUTCFullYear() / 100));
      case Cmos.REG_A:
        return this.#cmos[Cmos.REG_A]! | (this.#updating(now) ? A_UIP : 0);
      case Cmos.REG_C:
        return 0; // No interrupt was ever requested.
      case Cmos.REG_D:
        return D_VALID;
      default:
        return this.#cmos[index]!;
    }
  }

  #writeCmos(index: number, value: number): void {
    switch (index) {
      case Cmos.SECONDS:
      case Cmos.MINUTES:
      case Cmos.HOURS:
      case Cmos.DAY_OF_WEEK:
      case Cmos.DAY_OF_MONTH:
      case Cmos.MONTH:
      case Cmos.YEAR:
      case Cmos.CENTURY:
      case Cmos.REG_C:
      case Cmos.REG_D:
        return;
      case Cmos.REG_A:
        this.#cmos[index] = value & ~A_UIP;
        return;
      default:
        this.#cmos[index] = value;
    }
  }

  /** Register B, bit 7, halts updates, and UIP with them. */
  #updating(now: number): boolean {
    return now % 1000 >= UIP_FROM_MS && (this.#cmos[Cmos.REG_B]! & B_SET) === 0;
  }

  #encode(value: number): number {
    if (this.#cmos[Cmos.REG_B]! & B_BINARY) return value;
    return (Math.floor(value / 10) << 4) | (value % 10);
  }

  /** In 12-hour mode midnight is 12 AM, noon is 12 PM. */
  #encodeHours(hours: number): number {
    if (this.#cmos[Cmos.REG_B]! & B_24_HOURS) return this.#encode(hours);
    return this.#encode(hours % 12 || 12) | (hours >= 12 ? PM : 0);
  }
}
