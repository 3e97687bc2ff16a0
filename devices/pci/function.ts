/**
 * A PCI function's configuration space (PCI Local Bus 3.0 §6), in shared
 * memory: the vCPU threads answer accesses, the device worker fills it in.
 *
 * @module
 */

/** Offsets in a type 0 header (§6.1). */
export const PciRegister = {
  VENDOR_ID: 0x00,
  DEVICE_ID: 0x02,
  COMMAND: 0x04,
  STATUS: 0x06,
  REVISION_ID: 0x08,
  CLASS_CODE: 0x09, // three bytes
  BAR0: 0x10,
  SUBSYSTEM_VENDOR_ID: 0x2c,
  SUBSYSTEM_ID: 0x2e,
  CAPABILITIES: 0x34,
  INTERRUPT_LINE: 0x3c,
  INTERRUPT_PIN: 0x3d,
} as const;

/** Bits of the command register (§6.2.2). */
export const PciCommand = {
  MEMORY: 1 << 1,
  BUS_MASTER: 1 << 2,
  INTX_DISABLE: 1 << 10,
} as const;

/** Bits of the status register (§6.2.3). */
export const PciStatus = { INTERRUPT: 1 << 3, CAPABILITIES: 1 << 4 } as const;

/** Bytes of a configuration space by mechanism #1. */
export const CONFIG_SPACE_SIZE = 256;

/** A function as the bus sees it. */
export interface PciFunction {
  /** `size` bytes at `offset` of the configuration space, 1, 2 or 4. */
  readConfig(offset: number, size: number): number;
  /** Sets them, as far as they can be written. */
  writeConfig(offset: number, size: number, value: number): void;
  /** Guest address of its memory, or -1 while it decodes none. */
  readonly memoryBase: number;
  /** Bytes of its memory; 0 for none. */
  readonly memorySize: number;
  /** `size` bytes of its memory at `offset`. */
  read(offset: number, size: number): number;
  /** Sets them. */
  write(offset: number, size: number, value: number): void;
}

/** Bytes of which only some bits can be written. Little-endian. */
export class ConfigSpace {
  /** The bytes. */
  readonly bytes: Uint8Array;
  readonly #writable = new Uint8Array(CONFIG_SPACE_SIZE);

  /** A space over 256 bytes. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** The driver may change the bits of `mask` in `size` bytes at `offset`. */
  allow(offset: number, size: number, mask: number): void {
    for (let i = 0; i < size; i++) {
      this.#writable[offset + i] = (mask >>> (8 * i)) & 0xff;
    }
  }

  /** `size` bytes at `offset`; zeros behind the end. */
  get(offset: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) {
      value |= (this.bytes[offset + i] ?? 0) << (8 * i);
    }
    return value >>> 0;
  }

  /** Sets them, whatever the driver may do. */
  set(offset: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) {
      this.bytes[offset + i] = (value >>> (8 * i)) & 0xff;
    }
  }

  /** A driver's write. */
  write(offset: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) {
      const at = offset + i;
      const mask = this.#writable[at] ?? 0;
      const old = this.bytes[at] ?? 0;
      this.bytes[at] = (old & ~mask) | ((value >>> (8 * i)) & mask);
    }
  }
}
