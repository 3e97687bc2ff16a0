/**
 * Devices of the user's own: `devices` in the configuration, `--device` on the
 * command line.
 *
 * @module
 */
import type { ModuleData } from "../../devices/virtio/make_module.ts";
import {
  anything,
  type Keys,
  module,
  object,
  own,
  ownRequired,
} from "../config/schema/rule.ts";
import type { Kind } from "./kind.ts";
import { moduleUrl } from "./words.ts";

/** A virtio device of the user's own. */
export interface CustomDevice {
  /**
   * URL of a module whose default export is a class that implements
   * {@linkcode VirtioDevice}; it is instantiated on the device worker.
   */
  module: string;
  /** Passed to the constructor: plain data. */
  options?: unknown;
}

const CUSTOM_DEVICE: Keys<CustomDevice> = {
  module: ownRequired(module, "Its default export is the device's class."),
  options: own(anything, "Passed to the constructor."),
};

/** After all others. */
export const MODULE: Kind<CustomDevice, CustomDevice, ModuleData> & {
  list: true;
} = {
  list: true,
  order: Infinity,
  about: "Devices of your own.",
  status: "Vireo's own",
  rule: object<CustomDevice>(CUSTOM_DEVICE),
  make: new URL("../../devices/virtio/make_module.ts", import.meta.url),
  early: true,
  open: ({ module, options }) => ({ name: module, data: { module, options } }),
  options: {
    rows: [{
      flags: "--device <module>",
      about: "a virtio device of your own, see examples/rng.ts; repeatable",
      repeatable: true,
    }],
    read: ({ device }: { device: string[] }) =>
      device.map((text) => ({ module: moduleUrl("--device", text) })),
  },
};
