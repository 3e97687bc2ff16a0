/**
 * Devices of the user's own: `devices` in the configuration, `--device` on the
 * command line.
 *
 * @module
 */
import type { ModuleData } from "../../devices/virtio/make_module.ts";
import { twice } from "../config/schema/conflict.ts";
import {
  anything,
  type Keys,
  module,
  object,
  onHost,
  own,
  ownRequired,
  type Rule,
  text,
} from "../config/schema/rule.ts";
import type { Kind } from "./kind.ts";
import { moduleWords, named } from "./words.ts";

/** A virtio device of the user's own. */
export interface CustomDevice {
  /**
   * URL of a module whose default export is a class that implements
   * {@linkcode VirtioDevice}; it is instantiated on the device worker.
   */
  module: string;
  /** Passed to the constructor: plain data. */
  options?: unknown;
  /**
   * What {@linkcode Machine.command} calls it, one of its own. Default: the
   * module's URL, with `#2` and so on behind it where that is taken.
   */
  name?: string;
}

type FilledDevice = CustomDevice & { name: string };

const CUSTOM_DEVICE: Keys<CustomDevice> = {
  module: ownRequired(module, "Its default export is the device's class."),
  options: own(onHost(anything), "Passed to the constructor."),
  name: own(
    text,
    "What `Machine.command` calls it. Default: the module's URL, with `#2` and " +
      "so on behind it where that is taken.",
  ),
};

/** After all others. */
export const MODULE: Kind<CustomDevice, FilledDevice, ModuleData> & {
  list: true;
} = {
  list: true,
  order: Infinity,
  about: "Devices of your own.",
  status: "Vireo's own",
  rule: object<CustomDevice>(CUSTOM_DEVICE) as Rule<CustomDevice, FilledDevice>,
  make: new URL("../../devices/virtio/make_module.ts", import.meta.url),
  early: () => true,

  conflicts(devices) {
    const names = devices.map(({ name }, index) => name ?? `\0${index}`);
    return twice("devices", "name", names);
  },

  /** Fills in their names, which depend on each other. */
  inOrder: named,

  open: ({ name, module, options }) => ({
    name,
    data: { name, module, options },
    own: true,
  }),
  options: {
    rows: [{
      flags: "--device <module>",
      about: "a virtio device of your own: FILE[,name=NAME][,KEY=VALUE], see " +
        "docs/lab.md; repeatable",
      repeatable: true,
      words: ["name=NAME"],
    }],
    read: ({ device }: { device: string[] }) =>
      device.map((text) => {
        const { module, options: { name, ...options } } = moduleWords(
          "--device",
          text,
        );
        return {
          module,
          ...(name !== undefined && { name: String(name) }),
          ...(Object.keys(options).length > 0 && { options }),
        };
      }),
  },
};
