/**
 * The guest's I/O space: which device answers at an address. One class serves
 * ports (PIO) and memory-mapped registers (MMIO), and every exit for a device
 * goes through it.
 *
 * @module
 */
import { VireoError } from "../ffi/errno.ts";

/**
 * What a device shows to the guest. `size` is 1, 2 or 4, values are unsigned
 * 32-bit numbers, and the access lies within the device's range; the bus's
 * caller splits 8-byte accesses.
 */
export interface BusDevice {
  /** The value of the register at `offset`. */
  read(offset: number, size: number): number;
  /** Sets the register at `offset`. */
  write(offset: number, size: number, value: number): void;
}

/**
 * A device with 8-bit registers. Wider accesses become byte accesses at
 * rising offsets, as the chipset makes them for an 8-bit ISA device: `outw`
 * to port 0x70 sets the CMOS index and its data at once.
 */
export abstract class ByteDevice implements BusDevice {
  /** The register at `offset`, 0 to 255. */
  abstract readByte(offset: number): number;
  /** Sets the register at `offset` to `value`, 0 to 255. */
  abstract writeByte(offset: number, value: number): void;

  /** Little-endian: the register at `offset` is the lowest byte. */
  read(offset: number, size: number): number {
    if (size === 1) return this.readByte(offset);
    let value = 0;
    for (let i = 0; i < size; i++) {
      value |= this.readByte(offset + i) << (8 * i);
    }
    return value >>> 0;
  }

  /** Little-endian: the lowest byte goes to `offset`. */
  write(offset: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) {
      this.writeByte(offset + i, (value >>> (8 * i)) & 0xff);
    }
  }
}

/** Bytes of a page, which a virtio-mmio window is. */
const PAGE = 0x1000;

/**
 * An address space of devices. Where nothing is, reads give all ones and
 * writes vanish, as on a bus without a driver.
 */
export class Bus {
  // Sorted by start; `end` is exclusive. Doubles hold any guest address.
  #starts = new Float64Array(0);
  #ends = new Float64Array(0);
  readonly #devices: BusDevice[] = [];
  #last = 0;
  // The longest run of devices of a page each, one behind the other.
  #pages: readonly BusDevice[] = [];
  #firstPage = 0;

  /**
   * Puts `device` at `base` to `base + length - 1`.
   *
   * @throws {VireoError} when the range is empty or overlaps another device's
   */
  add(base: number, length: number, device: BusDevice): void {
    const end = base + length;
    if (!Number.isSafeInteger(base) || base < 0 || !(length > 0)) {
      throw new VireoError(`bus: no range of ${length} bytes at ${hex(base)}`);
    }
    let index = 0;
    while (index < this.#starts.length && this.#starts[index]! < base) index++;
    const overlaps = (index > 0 && this.#ends[index - 1]! > base) ||
      (index < this.#starts.length && this.#starts[index]! < end);
    if (overlaps) {
      throw new VireoError(
        `bus: ${hex(base)} to ${hex(end - 1)} overlaps another device`,
      );
    }
    this.#starts = inserted(this.#starts, index, base);
    this.#ends = inserted(this.#ends, index, end);
    this.#devices.splice(index, 0, device);
    this.#findPages();
  }

  /** Reads `size` bytes (1, 2 or 4) as an unsigned number. */
  read(address: number, size: number): number {
    const index = this.#find(address, size);
    if (index < 0) return 0xffff_ffff >>> (32 - 8 * size);
    return this.#devices[index]!.read(address - this.#starts[index]!, size);
  }

  /** Writes `size` bytes (1, 2 or 4). */
  write(address: number, size: number, value: number): void {
    const index = this.#find(address, size);
    if (index < 0) return;
    this.#devices[index]!.write(address - this.#starts[index]!, size, value);
  }

  /**
   * {@linkcode Bus.read} of the address whose page and offset these are. Most
   * devices are found by arithmetic, and without a number for the address that
   * is too large for anything but the heap.
   */
  readInPage(page: number, offset: number, size: number): number {
    const index = page - this.#firstPage;
    return index >= 0 && index < this.#pages.length && offset + size <= PAGE
      ? this.#pages[index]!.read(offset, size)
      : this.read(page * PAGE + offset, size);
  }

  /** {@linkcode Bus.write} in the same way. */
  writeInPage(page: number, offset: number, size: number, value: number): void {
    const index = page - this.#firstPage;
    if (index >= 0 && index < this.#pages.length && offset + size <= PAGE) {
      this.#pages[index]!.write(offset, size, value);
    } else this.write(page * PAGE + offset, size, value);
  }

  #findPages(): void {
    for (let i = 0, first = 0; i < this.#devices.length; i++) {
      const start = this.#starts[i]!;
      const isPage = start % PAGE === 0 && this.#ends[i] === start + PAGE;
      if (!isPage) first = i + 1;
      else if (i > first && start !== this.#ends[i - 1]) first = i;
      if (i + 1 - first <= this.#pages.length) continue;
      this.#pages = this.#devices.slice(first, i + 1);
      this.#firstPage = this.#starts[first]! / PAGE;
    }
  }

  /** The device that holds the whole access, or -1. */
  #find(address: number, size: number): number {
    // Accesses come in runs: a console, a queue set-up.
    const last = this.#last;
    if (address >= this.#starts[last]! && address < this.#ends[last]!) {
      return address + size <= this.#ends[last]! ? last : -1;
    }
    let low = 0;
    let high = this.#starts.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (address < this.#starts[middle]!) high = middle - 1;
      else if (address >= this.#ends[middle]!) low = middle + 1;
      else {
        this.#last = middle;
        return address + size <= this.#ends[middle]! ? middle : -1;
      }
    }
    return -1;
  }
}

function inserted(
  array: Float64Array<ArrayBuffer>,
  index: number,
  value: number,
): Float64Array<ArrayBuffer> {
  const result = new Float64Array(array.length + 1);
  result.set(array.subarray(0, index));
  result[index] = value;
  result.set(array.subarray(index), index + 1);
  return result;
}

function hex(address: number): string {
  return `0x${address.toString(16)}`;
}
