/**
 * For tests: the prepared kernels and root image, as needs. Tests don't build
 * them: `task test` does, once, before the first test that needs them.
 *
 * @module
 */
import type { Need } from "../../ffi/testing/needs.ts";
import { type KernelVariant, prepared } from "../linux/prepare.ts";

/** The small kernel and the root image. */
export const LINUX: Need = await need("small");
/** The full kernel, with several CPUs, ACPI and PCI, and the root image. */
export const FULL_LINUX: Need = await need("full");

async function need(variant: KernelVariant): Promise<Need> {
  const there = await prepared(variant) !== undefined;
  const reason = `the ${variant} kernel is not built: task prepare --all`;
  return { prepared: variant, missing: () => there ? "" : reason };
}
