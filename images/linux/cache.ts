/**
 * Where the built kernel and root image are kept, and which build of them
 * belongs to these sources.
 *
 * @module
 */
import { CONFIGS, PATCHES } from "./kernel_recipe.ts";

/** What the key of a product is made of. */
export interface Recipe {
  /** The product's name, the first part of its file's name. */
  name: string;
  /** The end of the file's name, such as `.ext4`. */
  suffix: string;
  /** Files beside this module that decide what is built. */
  inputs: readonly string[];
  /** What else decides it; default: nothing. */
  options?: string;
}

/**
 * The kernels: `small` has one CPU, virtio-mmio and little else, and boots the
 * quickest; `full` adds several CPUs, ACPI and PCI; `research` adds to that what
 * one needs to look into a kernel: modules, symbols, ftrace, kprobes, KCOV.
 */
export type KernelVariant = PlainVariant | "research";

/** Those that take little to build. */
export type PlainVariant = "small" | "full";

/** How the kernel inside of a bzImage is compressed. */
export type Compression = "gzip" | "xz" | "lz4" | "zstd";

/** All of them. */
export const COMPRESSIONS: readonly Compression[] = [
  "gzip",
  "xz",
  "lz4",
  "zstd",
];

// How a kernel is built is in its recipe, so that the code that follows the
// recipe can change without a change of its product.
const SMALL_INPUTS = [...CONFIGS.small, ...PATCHES, "kernel_recipe.ts"];
const FULL_INPUTS = [...CONFIGS.full, ...PATCHES, "kernel_recipe.ts"];

/** The kernels as ELF files without symbols. */
export const KERNELS: Readonly<Record<PlainVariant, Recipe>> = {
  small: { name: "vmlinux", suffix: "", inputs: SMALL_INPUTS },
  full: { name: "vmlinux-full", suffix: "", inputs: FULL_INPUTS },
};

/**
 * A kernel as an ELF file; the research variant has symbols.
 *
 * @param options the user's own, for the research variant
 */
export async function kernelRecipe(
  variant: KernelVariant,
  options?: string,
): Promise<Recipe> {
  if (variant !== "research") return KERNELS[variant];
  // Not a literal: no other boot needs it.
  const { RESEARCH_CONFIGS, RESEARCH_PATCHES }:
    typeof import("./research_recipe.ts") = await import(
      new URL("./research_recipe.ts", import.meta.url).href
    );
  return {
    name: "vmlinux-research",
    suffix: "",
    inputs: [
      ...RESEARCH_CONFIGS,
      ...RESEARCH_PATCHES,
      ...["kernel_recipe.ts", "research_recipe.ts"],
    ],
    ...(options !== undefined && { options }),
  };
}

/** The full variant as a bzImage. */
export function bzImageRecipe(compression: Compression): Recipe {
  return { name: `bzImage-${compression}`, suffix: "", inputs: FULL_INPUTS };
}

/** The root file system: an ext4 image. */
export const ROOTFS: Recipe = {
  name: "rootfs",
  suffix: ".ext4",
  inputs: [
    "init.c",
    "agent.h",
    "agent_port.h",
    "channel.h",
    "command.h",
    "end.h",
    "network.h",
    "orders.h",
    "shell.h",
    "strings.h",
    "syscall.h",
    "vsock.c",
    "files/etc/group",
    "files/etc/hostname",
    "files/etc/hosts",
    "files/etc/passwd",
    "files/etc/udhcpc/default.script",
    "program.ts",
    "rootfs.ts",
  ],
};

/** The recipes of all that can be prepared, a first boot's before the others. */
export const RECIPES: readonly Recipe[] = [
  ...Object.values(KERNELS),
  ROOTFS,
  ...COMPRESSIONS.map(bzImageRecipe),
];

/**
 * The folder of everything that Vireo keeps: `~/.cache/vireo`, or in
 * `XDG_CACHE_HOME`.
 *
 * @param env where to look up variables
 */
export function cacheFolder(
  env: (name: string) => string | undefined = (name) => Deno.env.get(name),
): string {
  const xdg = env("XDG_CACHE_HOME");
  // The specification has relative paths ignored.
  const base = xdg?.startsWith("/") ? xdg : `${env("HOME") ?? "/root"}/.cache`;
  return `${base}/vireo`;
}

/**
 * The path of a product. It contains a hash of the inputs, so a change of any
 * gives another file, and an old one is never mistaken for the new.
 *
 * @param recipe what to build
 * @param folder the cache's folder
 */
export async function productPath(
  recipe: Recipe,
  folder: string = cacheFolder(),
): Promise<string> {
  const contents = await Promise.all(
    recipe.inputs.map((input) =>
      Deno.readFile(new URL(input, import.meta.url))
    ),
  );
  const { inputs, options } = recipe;
  const key = options === undefined
    ? await inputsKey(inputs, contents)
    : await inputsKey(
      [...inputs, "options"],
      [...contents, new TextEncoder().encode(options)],
    );
  return `${folder}/${recipe.name}-${key}${recipe.suffix}`;
}

/**
 * A short hash of files: of their names, lengths and contents.
 *
 * @param names the files' names
 * @param contents their contents, in the same order
 */
export async function inputsKey(
  names: readonly string[],
  contents: readonly Uint8Array[],
): Promise<string> {
  const heading = new TextEncoder().encode(
    names.map((name, i) => `${name} ${contents[i]?.length}\n`).join(""),
  );
  const all = new Uint8Array(
    await new Blob([heading, ...contents] as BlobPart[]).arrayBuffer(),
  );
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", all));
  return hash.slice(0, 8).toHex();
}

/**
 * Whether a product is there. It is renamed into place when complete, so what
 * is there is whole.
 *
 * @param path from {@linkcode productPath}
 */
export async function isBuilt(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
