/**
 * The kernel that a configuration names, opened and unpacked.
 *
 * @module
 */
import { parseEntry } from "../guest/kernel/entry.ts";
import { type KernelImage, openKernel } from "../guest/kernel/image.ts";
import type { VmConfig } from "./config/types.ts";
import { machineSize } from "./config/values.ts";

/** Nobody wants to read about what takes less. */
const PATIENCE_MS = 2000;

/**
 * Opens the kernel; unpacking says how far it is when it takes long.
 *
 * @param onLog told one line at a time
 * @throws {VireoError} when it is no kernel that can be booted
 */
export async function openConfiguredKernel(
  config: VmConfig,
  onLog: (message: string) => void = () => {},
): Promise<KernelImage> {
  const { kernel_image_path: file, entry } = config["boot-source"];
  if (entry !== undefined) parseEntry("boot-source.entry", entry);
  let said = performance.now();
  return await openKernel(file, {
    entry,
    limit: machineSize(config).memory,
    onFallback: onLog,
    onProgress(fraction) {
      const now = performance.now();
      if (now - said < PATIENCE_MS) return;
      said = now;
      onLog(`unpacking the kernel: ${Math.floor(fraction * 100)}%`);
    },
  });
}
