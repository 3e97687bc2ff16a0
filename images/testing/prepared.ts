/**
 * For tests: the prepared kernels and root image, as needs. Tests don't build
 * them: `task test` does, once, before the first test that needs them.
 *
 * @module
 */
import type { Need } from "../../ffi/testing/needs.ts";
import { prepared, preparedAll } from "../linux/prepare.ts";

/** The small kernel and the root image. */
export const LINUX: Need = need("small", await prepared());
/** The full kernel, with several CPUs, ACPI and PCI, and the root image. */
export const FULL_LINUX: Need = need("full", await prepared("full"));
/** Both kernels, the full one as bzImages, too, and the root image. */
export const ALL_KERNELS: Need = need("all", await preparedAll());
/** The research kernel, what modules are built with, and the root image. */
export const RESEARCH_LINUX: Need = need(
  "research",
  await prepared("research"),
);

function need(what: NonNullable<Need["prepared"]>, found: unknown): Need {
  const name = what === "all"
    ? "not every kernel is"
    : `the ${what} kernel is not`;
  const words = what === "research" ? "--variant research" : "--all";
  const reason = `${name} built: task prepare ${words}`;
  return { prepared: what, missing: () => found === undefined ? reason : "" };
}
