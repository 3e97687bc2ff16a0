/**
 * Builds the guest's kernels from Debian's kernel source, as `kernel_recipe.ts`
 * says.
 *
 * @module
 */
import { KERNEL_SOURCE, KERNEL_SOURCE_FILE } from "../../ffi/packages.ts";
import type { Compression, KernelVariant } from "./cache.ts";
import type { KconfigFragment } from "./kconfig.ts";
import {
  CONFIGS,
  MAKE_ARGUMENTS,
  MAKE_ENVIRONMENT,
  PATCHES,
  UNUSED,
} from "./kernel_recipe.ts";
import { type CommandLog, runLogged } from "./logged_command.ts";
import { checkOptions, keepForModules } from "./research.ts";
import {
  RESEARCH_CONFIGS,
  RESEARCH_MAKE_ARGUMENTS,
  RESEARCH_PATCHES,
  RESEARCH_UNUSED,
} from "./research_recipe.ts";
import type { WorkFolder } from "./work_folder.ts";

/** tar's records of 10 KiB in the source, and after how many it says so. */
const RECORDS = 133_000;
const RECORDS_PER_LINE = 1000;

/** Lines like `  CC      init/main.o` that a whole build prints. */
const BUILD_LINES: Readonly<Record<KernelVariant, number>> = {
  small: 993,
  full: 1315,
  research: 1900,
};

/** Bytes of disk that unpacking and compiling take, and some to spare. */
export const KERNEL_ROOM = 640 * 1024 ** 2;
/** The same for the research variant: nearly all of the source, and DWARF. */
export const RESEARCH_ROOM = 4 * 1024 ** 3;

/** A source, and how kernels are made of it. */
export interface SourceTree {
  readonly patches: readonly string[];
  readonly unused: readonly string[];
  readonly makeArguments: readonly string[];
}

/** What the small and the full variant are made of. */
export const PLAIN_TREE: SourceTree = {
  patches: PATCHES,
  unused: UNUSED,
  makeArguments: MAKE_ARGUMENTS,
};

/** What the research variant is made of. */
export const RESEARCH_TREE: SourceTree = {
  patches: RESEARCH_PATCHES,
  unused: RESEARCH_UNUSED,
  makeArguments: [...MAKE_ARGUMENTS, ...RESEARCH_MAKE_ARGUMENTS],
};

/** A patched source tree, in which kernels are built. */
export class KernelSource {
  readonly #work: string;
  readonly #log: CommandLog;
  readonly #env: Record<string, string>;
  readonly #makeArguments: readonly string[];

  private constructor(
    work: Pick<WorkFolder, "path" | "env">,
    log: CommandLog,
    { makeArguments }: SourceTree,
    date: Date,
  ) {
    this.#work = work.path;
    this.#log = log;
    this.#makeArguments = makeArguments;
    this.#env = {
      ...work.env,
      ...MAKE_ENVIRONMENT,
      KBUILD_BUILD_TIMESTAMP: date.toUTCString(),
    };
  }

  /**
   * Unpacks and patches.
   *
   * @param work an empty folder; {@linkcode KERNEL_ROOM} is enough
   * @param log where the output of programs goes
   * @param source what of the source, and how it is changed
   * @param onPart told the part of the source that is unpacked, 0 to 1
   * @throws {VireoError} if a program fails
   */
  static async unpack(
    work: Pick<WorkFolder, "path" | "env">,
    log: CommandLog,
    source: SourceTree,
    onPart: (part: number) => void = () => {},
  ): Promise<KernelSource> {
    const tree = `${work.path}/linux`;
    await Deno.mkdir(tree);
    const unpack = [
      "tar",
      // The archive is made of blocks that can be unpacked side by side.
      "--use-compress-program=xz -T0",
      `--checkpoint=${RECORDS_PER_LINE}`,
      "--checkpoint-action=echo=%u",
      "-xf",
      KERNEL_SOURCE_FILE,
      "-C",
      tree,
      "--strip-components=1",
      ...source.unused.map((path) => `--exclude=${KERNEL_SOURCE}/${path}`),
    ] as const;
    await runLogged(log, unpack, {
      env: work.env,
      onLine: (line) => {
        const records = recordsOf(line);
        if (records !== undefined) onPart(records / RECORDS);
      },
    });
    for (const name of source.patches) {
      const patch = `${work.path}/${name}`;
      await Deno.copyFile(new URL(name, import.meta.url), patch);
      await runLogged(log, ["patch", "-p1", "-F0", "-i", patch], { cwd: tree });
    }
    const { mtime } = await Deno.stat(KERNEL_SOURCE_FILE);
    return new KernelSource(work, log, source, mtime ?? new Date(0));
  }

  /**
   * Configures and compiles, in a folder of the variant's own.
   *
   * @param variant which kernel
   * @param onPart told the part of the compilation that is done, 0 to 1
   * @param own the user's options, for the research variant
   * @returns the path of the kernel, an ELF file; with symbols, if it is that
   * @throws {VireoError} if a program fails
   */
  async compile(
    variant: KernelVariant,
    onPart: (part: number) => void,
    own?: KconfigFragment,
  ): Promise<string> {
    const folder = this.#folder(variant);
    await Deno.mkdir(folder);
    const names = variant === "research" ? RESEARCH_CONFIGS : CONFIGS[variant];
    const configs = await Promise.all(
      names.map((name) => Deno.readTextFile(new URL(name, import.meta.url))),
    );
    await Deno.writeTextFile(
      `${this.#work}/linux/arch/x86/configs/${variant}_defconfig`,
      [...configs, own?.text ?? ""].join("\n"),
    );
    await this.#make(variant, [`${variant}_defconfig`]);
    if (own) await checkOptions(own, folder, `${this.#work}/linux`);
    let count = 0;
    const total = BUILD_LINES[variant];
    const targets = variant === "research"
      ? ["vmlinux", "modules"]
      : ["vmlinux"];
    await this.#make(variant, targets, (line) => {
      if (isBuildLine(line)) onPart(++count / total);
    });
    const built = `${folder}/vmlinux`;
    if (variant === "research") return built;
    const kernel = `${this.#work}/vmlinux-${variant}`;
    await runLogged(this.#log, ["strip", "-o", kernel, built]);
    return kernel;
  }

  /**
   * What modules for the research variant are built with, after it was compiled.
   *
   * @returns the path of a folder, for `make -C FOLDER M=$PWD modules`
   * @throws {VireoError} if a program fails
   */
  async forModules(): Promise<string> {
    const folder = `${this.#work}/for-modules`;
    const source = `${this.#work}/linux`;
    const built = this.#folder("research");
    await keepForModules(this.#log, { source, built, folder });
    return folder;
  }

  /**
   * Packs the full variant, which has been compiled, into a bzImage.
   *
   * @param compression of the kernel inside
   * @returns the path of the bzImage
   * @throws {VireoError} if a program fails
   */
  async bzImage(compression: Compression): Promise<string> {
    const config = `${this.#folder("full")}/.config`;
    const others = (await Deno.readTextFile(config)).split("\n").filter(
      (line) => !/^CONFIG_KERNEL_\w+=y$/.test(line),
    );
    const choice = `CONFIG_KERNEL_${compression.toUpperCase()}=y`;
    await Deno.writeTextFile(config, [...others, choice, ""].join("\n"));
    await this.#make("full", ["olddefconfig"]);
    await this.#make("full", ["bzImage"]);
    const image = `${this.#work}/bzImage-${compression}`;
    await Deno.copyFile(
      `${this.#folder("full")}/arch/x86/boot/bzImage`,
      image,
    );
    return image;
  }

  #folder(variant: KernelVariant): string {
    return `${this.#work}/${variant}`;
  }

  async #make(
    variant: KernelVariant,
    targets: string[],
    onLine?: (line: string) => void,
  ): Promise<void> {
    // One more than there are CPUs: some wait for the disk.
    const jobs = `-j${navigator.hardwareConcurrency + 1}`;
    const folder = `O=${this.#folder(variant)}`;
    await runLogged(
      this.#log,
      ["make", jobs, folder, ...this.#makeArguments, ...targets],
      { cwd: `${this.#work}/linux`, env: this.#env, onLine },
    );
  }
}

/**
 * Whether a line of the kernel's build says that a file is being made.
 *
 * @param line such as `  CC      init/main.o`
 */
export function isBuildLine(line: string): boolean {
  return /^ {2}[A-Z][A-Z0-9]* +\S/.test(line);
}

/**
 * How many records tar has read, by a line that it prints at a checkpoint.
 *
 * @param line such as `tar: 2000`, or with the path of tar
 */
export function recordsOf(line: string): number | undefined {
  const records = /^(?:\/\S*\/)?tar: (\d+)$/.exec(line)?.[1];
  return records === undefined ? undefined : Number(records);
}
