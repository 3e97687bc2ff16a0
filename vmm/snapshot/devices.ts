/**
 * What all devices of a machine are told together.
 *
 * @module
 */
import type { MachineParts } from "../build.ts";
import { ALL_DEVICES } from "../device_channel.ts";
import type { AllCommand } from "../messages.ts";

/** Has the device worker carry `command` out; what it answers. */
export async function sendToAll(
  { channel, deviceStart }: MachineParts,
  command: AllCommand,
): Promise<unknown> {
  if (deviceStart === undefined) return [];
  return await channel.send(ALL_DEVICES, command);
}
