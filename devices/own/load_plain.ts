/**
 * Loads a plain device of the user's own: whatever is wrong with it names it.
 *
 * @module
 */
import { instanceOf } from "./load_class.ts";
import type { PlainDevice, PlainPlace } from "./plain.ts";

/**
 * The device of a place's module.
 *
 * @throws {VireoError} it can't be loaded, or is none
 */
export async function loadPlain(place: PlainPlace): Promise<PlainDevice> {
  return await instanceOf<PlainDevice>(
    "device",
    place,
    ["read", "write"],
    ["attach", "command", "save", "restore", "close"],
  );
}
