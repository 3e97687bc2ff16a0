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
  kernelRecipe,
  KERNELS,
  type KernelVariant,
  type PlainVariant,
  productPath,
  ROOTFS,
} from "./cache.ts";
import { VireoError } from "../../ffi/error.ts";
import type { KconfigFragment } from "./kconfig.ts";

export type { Compression, KernelVariant, PlainVariant } from "./cache.ts";

/** Paths of what a Linux guest boots from. */
export interface Prepared {
  /** The kernel, an ELF `vmlinux`. */
  kernel: string;
  /** The root file system, an ext4 image, to be attached read-only. */
  rootfs: string;
}

/** Paths of everything that can be prepared, but for the research kernel. */
export interface PreparedAll {
  /** The kernels as ELF files. */
  kernels: Record<PlainVariant, string>;
  /** The full kernel as bzImages, by the compression inside. */
  bzImages: Record<Compression, string>;
  /** The root file system. */
  rootfs: string;
}

/** Options of {@linkcode prepare}. */
export interface PrepareOptions {
  /** Which kernel; default `small`. */
  variant?: KernelVariant;
  /**
   * A file with lines of a `.config`, which the kernel of the variant `research`
   * is to have: `CONFIG_KASAN=y`.
   */
  kconfig?: string;
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
 * @param options.kconfig as {@linkcode prepare} has it
 * @throws {VireoError} that can't be read, or is none
 */
export async function prepared(
  variant: KernelVariant = "small",
  { kconfig }: Pick<PrepareOptions, "kconfig"> = {},
): Promise<Prepared | undefined> {
  const own = await fragmentOf(variant, kconfig);
  const [kernel, rootfs] = await Promise.all([
    productPath(await kernelRecipe(variant, own?.text)),
    productPath(ROOTFS),
  ]);
  const both = await Promise.all([isBuilt(kernel), isBuilt(rootfs)]);
  return both.every(Boolean) ? { kernel, rootfs } : undefined;
}

/** The user's own options. */
async function fragmentOf(
  variant: KernelVariant,
  path: string | undefined,
): Promise<KconfigFragment | undefined> {
  if (path === undefined) return undefined;
  if (variant !== "research") {
    throw new VireoError(
      `kconfig "${path}": only for the variant research, not for ${variant}`,
    );
  }
  // Not a literal: no other boot needs it.
  const { KconfigFragment }: typeof import("./kconfig.ts") = await import(
    new URL("./kconfig.ts", import.meta.url).href
  );
  return await KconfigFragment.read(path);
}

/**
 * The folder that modules for a kernel of the variant `research` are built with:
 * `make -C FOLDER M=$PWD modules`.
 *
 * @param kernel a kernel of {@linkcode prepare} or {@linkcode prepared}
 */
export function moduleFolder({ kernel }: Pick<Prepared, "kernel">): string {
  return `${kernel}.build`;
}

/**
 * Builds what is missing, with progress on standard error: about three minutes
 * the first time, and a quarter of an hour for `research`. Builds again what came from an older Debian package than the
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
  const own = await fragmentOf(variant, options?.kconfig);
  const { build } = await builder();
  await build({ kernels: [variant], bzImages: [], own }, options?.output);
  return {
    kernel: await productPath(await kernelRecipe(variant, own?.text)),
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
 * Builds all that is missing but for the research kernel: the others, the
 * bzImages of the full one and the root image. About eight minutes the first time.
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
