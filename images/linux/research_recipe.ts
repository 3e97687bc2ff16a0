/**
 * How the research variant is built, as far as it decides what it is: as
 * `kernel_recipe.ts` is for the others. A change here has it built again.
 *
 * @module
 */

/** What it is configured by; the user's own options come last. */
export const RESEARCH_CONFIGS = [
  "vireo.config",
  "full.config",
  "research.config",
] as const;

/** What is changed in the source, in this order. */
export const RESEARCH_PATCHES = ["vireo.patch", "research.patch"] as const;

/**
 * Parts of the source that no option of an x86 kernel reads, and a driver whose
 * register tables are a third of all.
 */
export const RESEARCH_UNUSED = [
  "arch/*/boot/dts",
  "arch/[!x]*/*.[chS]",
  "drivers/gpu/drm/amd/*.[ch]",
  "Documentation/*/*",
  "tools/perf",
  "tools/testing",
] as const;

/** Whose coverage KCOV collects: drivers of virtio, and what reads of a disk. */
const COVERED = [
  ...["virtio", "virtio_ring", "virtio_mmio", "virtio_pci_common"],
  ...["virtio_pci_modern", "virtio_pci_modern_dev", "virtio_blk"],
  ...["virtio_net", "virtio_console", "virtio-rng", "virtio_balloon"],
  ...["virtio_input", "virtio_transport", "virtio_transport_common"],
  ...["trans_virtio", "msdos"],
] as const;

/** Arguments of every `make`, beside those of all kernels. */
export const RESEARCH_MAKE_ARGUMENTS = COVERED.map((name) =>
  `KCOV_INSTRUMENT_${name}.o=y`
);
