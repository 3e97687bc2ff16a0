/**
 * What all devices of a machine are told together.
 *
 * @module
 */
import type { MachineParts } from "../build.ts";
import type { ResolvedConfig } from "../config/resolve.ts";
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

/** Has the devices of another machine than was saved do what is due then. */
export function tellOfMove(
  { channel }: MachineParts,
  { devices }: ResolvedConfig,
): void {
  devices.forEach(({ kind }, index) => {
    if (kind.moved === undefined) return;
    // A driver that can't is no mistake; when the machine ends, none is told.
    channel.send(index, kind.moved).catch(() => {});
  });
}
