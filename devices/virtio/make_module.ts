/**
 * Makes a device of the user's own on the device worker.
 *
 * @module
 */
import type { Maker } from "./maker.ts";

/** A class of the user's. */
export interface ModuleData {
  /** URL of the module that has it as its default export. */
  module: string;
  /** The constructor's parameter. */
  options: unknown;
}

/** The device. */
export const make: Maker<ModuleData> = async ({ module, options }) => {
  const { default: Device } = await import(module);
  return new Device(options);
};
