/**
 * For tests: a device that is saved, and goes on as another one.
 *
 * @module
 */
import type { SavedDevice, VirtioDevice } from "../device.ts";
import type { MockDriver } from "./mod.ts";

/** All of the device, as it comes out of a file. */
export function save({ activated }: MockDriver): SavedDevice {
  const { data = null, ...saved } = activated.save();
  return { ...saved, data: JSON.parse(JSON.stringify(data)) };
}

/**
 * `device` goes on as `saved` says, with the same driver and memory. The old one
 * is closed.
 */
export function restore(
  driver: MockDriver,
  device: VirtioDevice,
  saved: SavedDevice,
): void {
  driver.activated.close();
  driver.activated = driver.activate(device);
  driver.activated.restore(saved);
  driver.activated.resume();
  driver.sleep();
}

/** The two ways on from a snapshot: the same device, and a new one. */
export const WAYS = ["resumed", "restored"] as const;

/**
 * Saves the device; then it goes on itself, or `make`s the one that does.
 */
export function goOn(
  driver: MockDriver,
  way: typeof WAYS[number],
  make: () => VirtioDevice,
): void {
  const saved = save(driver);
  if (way === "restored") return restore(driver, make(), saved);
  driver.activated.resume();
  driver.sleep();
}
