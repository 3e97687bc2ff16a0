/**
 * All endpoints, in one table.
 *
 * @module
 */
import { BALLOON_ENDPOINTS } from "./balloon.ts";
import { DEVICE_ENDPOINTS } from "./devices.ts";
import { DRIVE_ENDPOINTS } from "./drives.ts";
import type { Endpoint } from "./endpoint.ts";
import { MACHINE_ENDPOINTS } from "./machine.ts";
import { METADATA_ENDPOINTS } from "./metadata.ts";
import { MISSING_ENDPOINTS } from "./missing.ts";
import { NETWORK_ENDPOINTS } from "./networks.ts";
import { OWN_ENDPOINTS } from "./own.ts";
import { OUTPUT_ENDPOINTS } from "./outputs.ts";
import { SNAPSHOT_ENDPOINTS } from "./snapshots.ts";

/** What can be asked; of rows with the same path, the first that fits. */
export const TABLE: readonly Endpoint[] = [
  ...MACHINE_ENDPOINTS,
  ...DRIVE_ENDPOINTS,
  ...NETWORK_ENDPOINTS,
  ...DEVICE_ENDPOINTS,
  ...BALLOON_ENDPOINTS,
  ...METADATA_ENDPOINTS,
  ...OUTPUT_ENDPOINTS,
  ...SNAPSHOT_ENDPOINTS,
  ...MISSING_ENDPOINTS,
  ...OWN_ENDPOINTS,
];
