/**
 * The guest's kernels and root image: built once from Debian packages, then kept
 * under `~/.cache/vireo`.
 *
 * @module
 */
import {
  bzImageRecipe,
  type Compression,
  COMPRESSIONS,
  isBuilt,
  KERNELS,
  type KernelVariant,
  productPath,
  ROOTFS,
} from "./cache.ts";

export type { Compression, KernelVariant } from "./cache.ts";

/** Paths of what a Linux guest boots from. */
export interface Prepared {
  /** The kernel, an ELF `vmlinux`. */
  kernel: string;
  /** The root file system, an ext4 image, to be attached read-only. */
  rootfs: string;
}

/** Paths of everything that can be prepared. */
export interface PreparedAll {
  /** The kernels as ELF files. */
  kernels: Record<KernelVariant, string>;
  /** The full kernel as bzImages, by the compression inside. */
  bzImages: Record<Compression, string>;
  /** The root file system. */
  rootfs: string;
}

/** Options of {@linkcode prepare}. */
export interface PrepareOptions {
  /** Which kernel; default `small`. */
  variant?: KernelVariant;
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
 *
 * @param variant which kernel
 */
export async function prepared(
  variant: KernelVariant = "small",
): Promise<Prepared | undefined> {
  const [kernel, rootfs] = await Promise.all([
    productPath(KERNELS[variant]),
    productPath(ROOTFS),
  ]);
  const both = await Promise.all([isBuilt(kernel), isBuilt(rootfs)]);
  return both.every(Boolean) ? { kernel, rootfs } : undefined;
}

/**
 * Builds what is missing, with progress on standard error: about three minutes
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
  const variant = options?.variant ?? "small";
  const { build } = await builder();
  await build({ kernels: [variant], bzImages: [] }, options?.output);
  return {
    kernel: await productPath(KERNELS[variant]),
    rootfs: await productPath(ROOTFS),
  };
}

/** Nobody who has both needs the code that builds them. */
async function builder(): Promise<typeof import("./build.ts")> {
  // Not a literal: those are read at the start, needed or not.
  return await import(new URL("./build.ts", import.meta.url).href);
}

/** The path of the root image if it is built, for kernels of one's own. */
export async function preparedRootfs(): Promise<string | undefined> {
  const path = await productPath(ROOTFS);
  return await isBuilt(path) ? path : undefined;
}

/**
 * Builds the root image and no kernel: seconds.
 *
 * @param output where progress goes; default: standard error
 * @throws {VireoError} as {@linkcode prepare} does
 */
export async function prepareRootfs(output?: ProgressOutput): Promise<string> {
  const { build } = await builder();
  await build({ kernels: [], bzImages: [] }, output);
  return await productPath(ROOTFS);
}

/**
 * Builds everything that is missing: both kernels, the bzImages of the full one
 * and the root image. About eight minutes the first time.
 *
 * @param output where progress goes; default: standard error
 * @throws {VireoError} as {@linkcode prepare} does
 */
export async function prepareAll(
  output?: ProgressOutput,
): Promise<PreparedAll> {
  const { build } = await builder();
  await build({ kernels: ["small", "full"], bzImages: COMPRESSIONS }, output);
  return await allPaths();
}

/** The paths if everything is built, as {@linkcode prepared} has it. */
export async function preparedAll(): Promise<PreparedAll | undefined> {
  const all = await allPaths();
  const { kernels, bzImages, rootfs } = all;
  const paths = [...Object.values(kernels), ...Object.values(bzImages), rootfs];
  const built = await Promise.all(paths.map(isBuilt));
  return built.every(Boolean) ? all : undefined;
}

async function allPaths(): Promise<PreparedAll> {
  const bzImage = (compression: Compression) =>
    productPath(bzImageRecipe(compression));
  return {
    kernels: {
      small: await productPath(KERNELS.small),
      full: await productPath(KERNELS.full),
    },
    bzImages: {
      gzip: await bzImage("gzip"),
      xz: await bzImage("xz"),
      lz4: await bzImage("lz4"),
      zstd: await bzImage("zstd"),
    },
    rootfs: await productPath(ROOTFS),
  };
}
