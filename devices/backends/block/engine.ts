/**
 * How an image is read and written.
 *
 * @module
 */
import { SystemError } from "../../../ffi/errno.ts";
import { AutoBackend } from "./auto.ts";
import type { BlockBackend } from "./backend.ts";
import type { RawImage } from "./image.ts";
import { UringBackend } from "./uring.ts";
import { SyncBackend } from "./sync.ts";

/**
 * `Async`: every request by io_uring. `Sync`: every request is one blocking
 * call. `Auto`: by io_uring, but for writes that are only copied.
 */
export type IoEngine = "Auto" | "Async" | "Sync";

/**
 * Storage on an open image, by `engine`; by plain calls where the host refuses
 * io_uring.
 *
 * @param requests the most requests in flight, a power of two
 */
export function rawBackend(
  image: RawImage,
  requests: number,
  engine: IoEngine = "Auto",
): BlockBackend {
  if (engine === "Sync") return new SyncBackend(image, requests);
  try {
    // Without the page cache every write waits for the disk.
    return engine === "Auto" && !image.direct
      ? new AutoBackend(image, requests)
      : new UringBackend(image, requests);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return new SyncBackend(image, requests);
  }
}
