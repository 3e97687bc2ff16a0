/**
 * The guest's kernel and root image: built once from Debian packages, then kept
 * under `~/.cache/vireo`.
 *
 * @module
 */
import { isBuilt, KERNEL, productPath, ROOTFS } from "./cache.ts";

/** Paths of what a Linux guest boots from. */
export interface Prepared {
  /** The kernel, an ELF `vmlinux`. */
  kernel: string;
  /** The root file system, an ext4 image, to be attached read-only. */
  rootfs: string;
}

/** Options of {@linkcode prepare}. */
export interface PrepareOptions {
  /** Where progress goes; default: standard error. */
  output?: ProgressOutput;
}

/** Where progress goes. */
export interface ProgressOutput {
  /** Takes text. */
  write(text: string): void;
  /** The width of the terminal; undefined if this is none. */
  columns(): number | undefined;
}

/**
 * The paths if both are built and belong to these sources. Takes a few
 * milliseconds.
 */
export async function prepared(): Promise<Prepared | undefined> {
  const [kernel, rootfs] = await Promise.all([
    productPath(KERNEL),
    productPath(ROOTFS),
  ]);
  const both = await Promise.all([isBuilt(kernel), isBuilt(rootfs)]);
  return both.every(Boolean) ? { kernel, rootfs } : undefined;
}

/**
 * Builds what is missing, with progress on standard error: about five minutes
 * the first time. Builds again what came from an older Debian package than the
 * installed one.
 *
 * @throws {VireoError} if packages are missing and can't be installed, or a
 *   build fails
 *
 * @example
 * ```ts ignore
 * const { kernel, rootfs } = await prepared() ?? await prepare();
 * ```
 */
export async function prepare(options?: PrepareOptions): Promise<Prepared> {
  // Nobody who has both needs the code that builds them.
  const { build } = await import("./build.ts");
  return await build(options?.output);
}
