/**
 * Loads a plain device of the user's own: whatever is wrong with it names it.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { failureOf, loadModule } from "../runtime/load_module.ts";
import type { PlainDevice, PlainPlace } from "./plain.ts";

const METHODS = ["read", "write"] as const;
const MORE_METHODS = [
  "attach",
  "command",
  "save",
  "restore",
  "close",
] as const;

/**
 * The class of a place's module, as what makes one.
 *
 * @throws {VireoError} it can't be loaded, or is none
 */
export async function loadPlain(
  { module, options }: PlainPlace,
): Promise<() => PlainDevice> {
  const Device = await loadModule("device", module) as unknown;
  const wrong = (text: string) => new VireoError(`device ${module}: ${text}`);
  if (typeof Device !== "function") {
    throw wrong("its default export is no class");
  }
  return () => {
    let device: PlainDevice;
    try {
      device = Reflect.construct(Device, [options]);
    } catch (error) {
      throw wrong(failureOf(error, module));
    }
    const is = (name: keyof PlainDevice) => typeof device[name] === "function";
    const missing = METHODS.find((name) => !is(name)) ??
      MORE_METHODS.find((name) => device[name] !== undefined && !is(name));
    if (missing === undefined) return device;
    throw wrong(`${missing} is no method`);
  };
}
