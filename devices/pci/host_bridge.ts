/**
 * The host bridge: device 0 of bus 0, by which a guest knows that there is a
 * bus at all.
 *
 * @module
 */
import {
  CONFIG_SPACE_SIZE,
  ConfigSpace,
  type PciFunction,
  PciRegister,
} from "./function.ts";

const VENDOR_INTEL = 0x8086;
const DEVICE_VIRTUAL_BRIDGE = 0x0d57;
const CLASS_HOST_BRIDGE = 0x060000;

/** A function with nothing but its identity. */
export class HostBridge implements PciFunction {
  /** It has no memory. */
  readonly memoryBase: number = -1;
  readonly memorySize: number = 0;
  readonly #config = new ConfigSpace(new Uint8Array(CONFIG_SPACE_SIZE));

  /** The bridge. */
  constructor() {
    this.#config.set(PciRegister.VENDOR_ID, 2, VENDOR_INTEL);
    this.#config.set(PciRegister.DEVICE_ID, 2, DEVICE_VIRTUAL_BRIDGE);
    this.#config.set(PciRegister.CLASS_CODE, 3, CLASS_HOST_BRIDGE);
  }

  readConfig(offset: number, size: number): number {
    return this.#config.get(offset, size);
  }

  /** Nothing in it can be changed. */
  writeConfig(): void {}

  read(): number {
    return 0;
  }

  write(): void {}
}
