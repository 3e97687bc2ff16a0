/**
 * A kernel that may take long to unpack.
 *
 * @module
 */
import type { KernelEntry } from "./entry.ts";
import { type KernelImage, openKernel } from "./image.ts";

/** Nobody wants to read about what takes less. */
const PATIENCE_MS = 2000;

/**
 * Opens a kernel; unpacking says how far it is when it takes long.
 *
 * @param kernel its file, or what is in it
 * @param entry how it is begun; undefined: as it can be
 * @param limit bytes of guest memory: unpacking ends there
 * @param onLog told one line at a time
 * @throws {VireoError} when it is no kernel that can be booted
 */
export async function openPatiently(
  kernel: Parameters<typeof openKernel>[0],
  entry: KernelEntry | undefined,
  limit: number,
  onLog: (message: string) => void = () => {},
): Promise<KernelImage> {
  let said = performance.now();
  return await openKernel(kernel, {
    entry,
    limit,
    onFallback: onLog,
    onProgress(fraction) {
      const now = performance.now();
      if (now - said < PATIENCE_MS) return;
      said = now;
      onLog(`unpacking the kernel: ${Math.floor(fraction * 100)}%`);
    },
  });
}
