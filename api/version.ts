/**
 * The versions that the API tells.
 *
 * @module
 */

/** Of Firecracker, whose contract this is: `--version`, `GET /version`. */
export const FIRECRACKER_VERSION = "1.17.0-dev";

/** What `--version` prints. */
export const VERSION_TEXT = `Firecracker v${FIRECRACKER_VERSION}\n\n`;

/** What `--snapshot-version` prints; what is in the files is Vireo's own. */
export const SNAPSHOT_VERSION_TEXT = "v11.0.0\n";
