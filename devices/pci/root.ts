/**
 * Bus 0: configuration mechanism #1 (PCI Local Bus 3.0 §3.2.2.3.2), the
 * enhanced one (ECAM, PCI Express 4.0 §7.2.2), and the functions' memory.
 *
 * @module
 */
import type { BusDevice } from "../bus.ts";
import type { PciFunction } from "./function.ts";

/** `CONFIG_ADDRESS` and `CONFIG_DATA`, 4 bytes each. */
export const PCI_CONFIG_PORTS = 8;

const CONFIG_DATA = 4;
const RESET_CONTROL = 1;
const ENABLE = 0x8000_0000;
const ALL_ONES = 0xffff_ffff;

function ones(size: number): number {
  return ALL_ONES >>> (32 - 8 * size);
}

/** The functions of bus 0, one per device number. */
export class PciRoot {
  readonly #functions: readonly PciFunction[];

  /** A bus with `functions` as devices 0, 1, ... */
  constructor(functions: readonly PciFunction[]) {
    this.#functions = functions;
  }

  /** §3.2.2.3.1: where nobody answers, reads give all ones. */
  readConfig(devfn: number, offset: number, size: number): number {
    const target = this.#at(devfn);
    return target === undefined ? ones(size) : target.readConfig(offset, size);
  }

  /** A write to the configuration space of `devfn`. */
  writeConfig(
    devfn: number,
    offset: number,
    size: number,
    value: number,
  ): void {
    this.#at(devfn)?.writeConfig(offset, size, value);
  }

  /** A read of the functions' memory; all ones where there is none. */
  readMemory(address: number, size: number): number {
    for (let i = 0; i < this.#functions.length; i++) {
      const target = this.#functions[i]!;
      const offset = offsetIn(target, address, size);
      if (offset >= 0) return target.read(offset, size);
    }
    return ones(size);
  }

  /** A write to the functions' memory. */
  writeMemory(address: number, size: number, value: number): void {
    for (let i = 0; i < this.#functions.length; i++) {
      const target = this.#functions[i]!;
      const offset = offsetIn(target, address, size);
      if (offset >= 0) return target.write(offset, size, value);
    }
  }

  #at(devfn: number): PciFunction | undefined {
    return (devfn & 7) === 0 ? this.#functions[devfn >> 3] : undefined;
  }
}

/**
 * Mechanism #1. `CONFIG_ADDRESS` is the machine's, not a vCPU's: it is in
 * shared memory.
 */
export class PciConfigPorts implements BusDevice {
  readonly #root: PciRoot;
  readonly #address: Uint32Array;
  readonly #reset: BusDevice;

  /**
   * Ports to `root`; `shared` is {@linkcode PciConfigPorts.createState}'s, and
   * `reset` the chipset's reset control in the midst of them.
   */
  constructor(root: PciRoot, shared: SharedArrayBuffer, reset: BusDevice) {
    this.#root = root;
    this.#address = new Uint32Array(shared);
    this.#reset = reset;
  }

  /** `CONFIG_ADDRESS`, to share between the vCPUs. */
  static createState(): SharedArrayBuffer {
    return new SharedArrayBuffer(4);
  }

  /** Ports 0 to 3 are CONFIG_ADDRESS, 4 to 7 CONFIG_DATA. */
  read(offset: number, size: number): number {
    if (offset < CONFIG_DATA) {
      // Only a 32-bit access is one to CONFIG_ADDRESS.
      if (size === 4) return this.#address[0]!;
      return offset === RESET_CONTROL && size === 1
        ? this.#reset.read(0, 1)
        : ones(size);
    }
    const devfn = this.#devfn();
    if (devfn < 0) return ones(size);
    return this.#root.readConfig(devfn, this.#register(offset), size);
  }

  write(offset: number, size: number, value: number): void {
    if (offset < CONFIG_DATA) {
      if (size === 4) this.#address[0] = value & ~3;
      else if (offset === RESET_CONTROL && size === 1) {
        this.#reset.write(0, 1, value);
      }
      return;
    }
    const devfn = this.#devfn();
    if (devfn < 0) return;
    this.#root.writeConfig(devfn, this.#register(offset), size, value);
  }

  /** Device and function, or -1 when another bus is meant. */
  #devfn(): number {
    const address = this.#address[0]!;
    const bus = (address >>> 16) & 0xff;
    return (address & ENABLE) !== 0 && bus === 0 ? (address >>> 8) & 0xff : -1;
  }

  #register(offset: number): number {
    return (this.#address[0]! & 0xfc) + offset - CONFIG_DATA;
  }
}

/** ECAM: 4 KiB of configuration space for each function of bus 0. */
export class Ecam implements BusDevice {
  readonly #root: PciRoot;

  /** A window on `root`. */
  constructor(root: PciRoot) {
    this.#root = root;
  }

  /** Offset bits from 12 on are device and function, those below a register. */
  read(offset: number, size: number): number {
    return this.#root.readConfig(offset >> 12, offset & 0xfff, size);
  }

  write(offset: number, size: number, value: number): void {
    this.#root.writeConfig(offset >> 12, offset & 0xfff, size, value);
  }
}

/** The window of guest addresses that the functions' memory is placed in. */
export class PciMemory implements BusDevice {
  readonly #root: PciRoot;
  readonly #base: number;

  /** The window at `base`. */
  constructor(root: PciRoot, base: number) {
    this.#root = root;
    this.#base = base;
  }

  read(offset: number, size: number): number {
    return this.#root.readMemory(this.#base + offset, size);
  }

  write(offset: number, size: number, value: number): void {
    this.#root.writeMemory(this.#base + offset, size, value);
  }
}

/**
 * Where in the function's memory the access lies; negative: not there. Asked
 * once: another vCPU may move the memory before one looks again.
 */
function offsetIn(
  { memoryBase, memorySize }: PciFunction,
  address: number,
  size: number,
): number {
  if (memoryBase < 0 || address - memoryBase + size > memorySize) return -1;
  return address - memoryBase;
}
