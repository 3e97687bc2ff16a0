/**
 * The kernel that a configuration names, opened and unpacked.
 *
 * @module
 */
import { type KernelImage, openKernel } from "../guest/kernel/mod.ts";
import type { ResolvedConfig } from "./config/resolve.ts";

/** Nobody wants to read about what takes less. */
const PATIENCE_MS = 2000;

/**
 * Opens the kernel; unpacking says how far it is when it takes long.
 *
 * @param onLog told one line at a time
 * @throws {VireoError} when it is no kernel that can be booted
 */
export async function openConfiguredKernel(
  { kernel, entry, memory }: ResolvedConfig,
  onLog: (message: string) => void = () => {},
): Promise<KernelImage> {
  let said = performance.now();
  return await openKernel(kernel, {
    entry,
    limit: memory,
    onFallback: onLog,
    onProgress(fraction) {
      const now = performance.now();
      if (now - said < PATIENCE_MS) return;
      said = now;
      onLog(`unpacking the kernel: ${Math.floor(fraction * 100)}%`);
    },
  });
}
