/**
 * Words of a kernel's command line: where its devices are.
 *
 * @module
 */
import { GENERATION_WORD } from "../generation.ts";
import { KiB, Layout } from "../layout.ts";

/** For a kernel without ACPI: its virtio-mmio devices, and the generation. */
export function deviceWords(
  devices: readonly { window: number; gsi: number }[],
): string[] {
  const size = `${Layout.VIRTIO_MMIO_SIZE / KiB}K`;
  return devices.map(({ window, gsi }) =>
    `virtio_mmio.device=${size}@0x${window.toString(16)}:${gsi}`
  ).concat(GENERATION_WORD);
}
