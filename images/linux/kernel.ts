/**
 * Builds the guest's kernels from Debian's kernel source, as `kernel_recipe.ts`
 * says.
 *
 * @module
 */
import { KERNEL_SOURCE, KERNEL_SOURCE_FILE } from "../../ffi/packages.ts";
import type { Compression, KernelVariant } from "./cache.ts";
import {
  CONFIGS,
  MAKE_ARGUMENTS,
  MAKE_ENVIRONMENT,
  PATCHES,
  UNUSED,
} from "./kernel_recipe.ts";
import { type CommandLog, runLogged } from "./logged_command.ts";
import type { WorkFolder } from "./work_folder.ts";

/** tar's records of 10 KiB in the source, and after how many it says so. */
const RECORDS = 133_000;
const RECORDS_PER_LINE = 1000;

/** Lines like `  CC      init/main.o` that a whole build prints. */
const BUILD_LINES: Readonly<Record<KernelVariant, number>> = {
  small: 993,
  full: 1315,
};

/** Bytes of disk that unpacking and compiling take, and some to spare. */
export const KERNEL_ROOM = 640 * 1024 ** 2;

/** A patched source tree, in which kernels are built. */
export class KernelSource {
  readonly #work: string;
  readonly #log: CommandLog;
  readonly #env: Record<string, string>;

  private constructor(work: WorkFolder, log: CommandLog, date: Date) {
    this.#work = work.path;
    this.#log = log;
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
   * @param onPart told the part of the source that is unpacked, 0 to 1
   * @throws {VireoError} if a program fails
   */
  static async unpack(
    work: WorkFolder,
    log: CommandLog,
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
      ...UNUSED.map((path) => `--exclude=${KERNEL_SOURCE}/${path}`),
    ] as const;
    await runLogged(log, unpack, {
      env: work.env,
      onLine: (line) => {
        const records = recordsOf(line);
        if (records !== undefined) onPart(records / RECORDS);
      },
    });
    for (const name of PATCHES) {
      const patch = `${work.path}/${name}`;
      await Deno.copyFile(new URL(name, import.meta.url), patch);
      await runLogged(log, ["patch", "-p1", "-F0", "-i", patch], { cwd: tree });
    }
    const { mtime } = await Deno.stat(KERNEL_SOURCE_FILE);
    return new KernelSource(work, log, mtime ?? new Date(0));
  }

  /**
   * Configures and compiles, in a folder of the variant's own.
   *
   * @param variant which kernel
   * @param onPart told the part of the compilation that is done, 0 to 1
   * @returns the path of the kernel, an ELF file
   * @throws {VireoError} if a program fails
   */
  async compile(
    variant: KernelVariant,
    onPart: (part: number) => void,
  ): Promise<string> {
    await Deno.mkdir(this.#folder(variant));
    const configs = await Promise.all(
      CONFIGS[variant].map((name) =>
        Deno.readTextFile(new URL(name, import.meta.url))
      ),
    );
    await Deno.writeTextFile(
      `${this.#work}/linux/arch/x86/configs/${variant}_defconfig`,
      configs.join("\n"),
    );
    await this.#make(variant, [`${variant}_defconfig`]);
    let count = 0;
    const total = BUILD_LINES[variant];
    await this.#make(variant, ["vmlinux"], (line) => {
      if (isBuildLine(line)) onPart(++count / total);
    });
    const kernel = `${this.#work}/vmlinux-${variant}`;
    const built = `${this.#folder(variant)}/vmlinux`;
    await runLogged(this.#log, ["strip", "-o", kernel, built]);
    return kernel;
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
      ["make", jobs, folder, ...MAKE_ARGUMENTS, ...targets],
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
