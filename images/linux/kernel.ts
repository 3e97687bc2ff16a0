/**
 * Builds the guest's kernels from Debian's kernel source, our configuration
 * (`vireo.config`, `full.config`) and our change (`vireo.patch`).
 *
 * @module
 */
import type { Compression, KernelVariant } from "./cache.ts";
import { type CommandLog, runLogged } from "./logged_command.ts";
import { SOURCE_PACKAGE } from "./packages.ts";

const SOURCE = `/usr/src/${SOURCE_PACKAGE}.tar.xz`;

/** What a variant is configured by: later files override earlier ones. */
const CONFIGS: Readonly<Record<KernelVariant, readonly string[]>> = {
  small: ["vireo.config"],
  full: ["vireo.config", "full.config"],
};

/** Lines like `  CC      init/main.o` that a whole build prints. */
const BUILD_LINES: Readonly<Record<KernelVariant, number>> = {
  small: 1265,
  full: 1596,
};

/**
 * Parts of the source that are not read at all, and are two thirds of it. The
 * Kconfig files stay: all are read whatever they enable.
 */
const UNUSED = [
  "arch/*/boot/dts",
  "arch/[!x]*/*.[chS]",
  "drivers/gpu/*.[ch]",
  "drivers/media/*.[ch]",
  "drivers/net/ethernet/*.[ch]",
  "drivers/net/wireless/*.[ch]",
  "drivers/scsi/*.[ch]",
  "drivers/staging/*.[ch]",
  "Documentation/*/*",
  "sound/*.[ch]",
  "tools/perf",
  "tools/testing",
];

/** A patched source tree, in which kernels are built. */
export class KernelSource {
  readonly #work: string;
  readonly #log: CommandLog;
  readonly #env: Record<string, string>;

  private constructor(work: string, log: CommandLog, date: Date) {
    this.#work = work;
    this.#log = log;
    // The same source gives the same kernel, whoever builds it and when.
    this.#env = {
      KBUILD_BUILD_USER: "vireo",
      KBUILD_BUILD_HOST: "vireo",
      KBUILD_BUILD_TIMESTAMP: date.toUTCString(),
    };
  }

  /**
   * Unpacks and patches.
   *
   * @param work an empty folder; needs 1 GiB
   * @param log where the output of programs goes
   * @throws {VireoError} if a program fails
   */
  static async unpack(work: string, log: CommandLog): Promise<KernelSource> {
    const tree = `${work}/linux`;
    await Deno.mkdir(tree);
    await runLogged(log, [
      "tar",
      "-xf",
      SOURCE,
      "-C",
      tree,
      "--strip-components=1",
      ...UNUSED.map((path) => `--exclude=${SOURCE_PACKAGE}/${path}`),
    ]);
    const patch = `${work}/vireo.patch`;
    await Deno.copyFile(new URL("vireo.patch", import.meta.url), patch);
    await runLogged(log, ["patch", "-p1", "-F0", "-i", patch], { cwd: tree });
    const { mtime } = await Deno.stat(SOURCE);
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
    const jobs = `-j${navigator.hardwareConcurrency}`;
    await runLogged(
      this.#log,
      ["make", jobs, `O=${this.#folder(variant)}`, ...targets],
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
