/**
 * Makes a device of the user's own on the device worker. A class that is no
 * device is found out before a guest waits for it.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { failureOf, loadModule } from "../runtime/load_module.ts";
import { OwnCode } from "../own/code.ts";
import type { VirtioDevice } from "./device.ts";
import type { Maker } from "./maker.ts";
import { guarded } from "./own_device.ts";
import { MAX_CONFIG, MAX_QUEUES } from "./spec.ts";

/** A class of the user's. */
export interface ModuleData {
  /** What the configuration calls the device. */
  name: string;
  /** URL of the module that has it as its default export. */
  module: string;
  /** The constructor's parameter. */
  options: unknown;
}

/** The device. */
export const make: Maker<ModuleData> = async (
  { name, module, options },
  context,
) => {
  const Device = await loadModule("device", module) as unknown;
  const wrong = (text: string) => new VireoError(`device ${module}: ${text}`);
  if (typeof Device !== "function") {
    throw wrong("its default export is no class");
  }
  let device: VirtioDevice;
  let objection: string | undefined;
  try {
    device = Reflect.construct(Device, [options]);
    objection = objectionTo(device);
  } catch (error) {
    throw wrong(failureOf(error, module));
  }
  if (objection !== undefined) throw wrong(objection);
  return guarded(device, new OwnCode(name, module, context));
};

const METHODS = ["attach", "activate", "notify", "reset", "close"] as const;
const MORE_METHODS = [
  "poll",
  "enable",
  "writeConfig",
  "command",
  "quiesce",
  "save",
  "restore",
] as const;
/** The largest queue (§2.7). */
const MAX_QUEUE_SIZE = 32768;

/** What keeps it from being a {@linkcode VirtioDevice}; undefined: nothing. */
function objectionTo(device: VirtioDevice): string | undefined {
  const { deviceId, features, queueSizes, config } = device;
  const isWord = (value: unknown) =>
    Number.isInteger(value) && value as number >= 0 &&
    value as number <= 0xffff_ffff;
  // 0 is what a driver skips (§4.2.3.1), and here a device that isn't there yet.
  if (!isWord(deviceId) || deviceId === 0) {
    return `deviceId ${deviceId} is not 1 to 2^32 - 1`;
  }
  if (features?.length !== 2 || !features.every(isWord)) {
    return `features [${features}] are not two words of 32 bits`;
  }
  if (!Array.isArray(queueSizes) || queueSizes.length > MAX_QUEUES) {
    return `queueSizes is not a list of at most ${MAX_QUEUES}`;
  }
  const odd = queueSizes.find((size) =>
    !isWord(size) || size < 1 || size > MAX_QUEUE_SIZE || size & (size - 1)
  );
  if (odd !== undefined) {
    return `a queue of ${odd} is not a power of two up to ${MAX_QUEUE_SIZE}`;
  }
  if (!(config instanceof Uint8Array) || config.length > MAX_CONFIG) {
    return `config is not a Uint8Array of at most ${MAX_CONFIG} bytes`;
  }
  const missing = METHODS.find((name) => typeof device[name] !== "function") ??
    MORE_METHODS.find((name) =>
      device[name] !== undefined && typeof device[name] !== "function"
    );
  return missing === undefined ? undefined : `${missing} is no method`;
}
