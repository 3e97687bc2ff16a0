/**
 * Builds the guest's kernel from Debian's kernel source, our configuration
 * (`vireo.config`) and our change (`vireo.patch`).
 *
 * @module
 */
import { type CommandLog, runLogged } from "./logged_command.ts";
import { SOURCE_PACKAGE } from "./packages.ts";

const SOURCE = `/usr/src/${SOURCE_PACKAGE}.tar.xz`;

/** Lines like `  CC      init/main.o` that a whole build prints. */
const BUILD_LINES = 1265;

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

/** What a build reports to. */
export interface BuildReport {
  /** Where the output of programs goes. */
  log: CommandLog;
  /** The source is unpacked, the compiler starts. */
  onCompile: () => void;
  /** A part of the compilation is done, 0 to 1. */
  onPart: (part: number) => void;
}

/**
 * Unpacks, patches, configures and compiles.
 *
 * @param work an empty folder; needs 1 GiB
 * @param report who is told
 * @returns the path of the kernel
 * @throws {VireoError} if a program fails
 */
export async function buildKernel(
  work: string,
  report: BuildReport,
): Promise<string> {
  const tree = `${work}/linux`;
  await unpack(tree, report.log);
  report.onCompile();
  await compile(tree, report);
  const kernel = `${work}/vmlinux`;
  await runLogged(report.log, ["strip", "-o", kernel, `${tree}/vmlinux`]);
  return kernel;
}

async function unpack(tree: string, log: CommandLog): Promise<void> {
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
  await Deno.copyFile(
    new URL("vireo.config", import.meta.url),
    `${tree}/arch/x86/configs/vireo_defconfig`,
  );
  const patch = `${tree}/vireo.patch`;
  await Deno.copyFile(new URL("vireo.patch", import.meta.url), patch);
  await runLogged(log, ["patch", "-p1", "-F0", "-i", patch], { cwd: tree });
}

async function compile(tree: string, report: BuildReport): Promise<void> {
  const { mtime } = await Deno.stat(SOURCE);
  const options = {
    cwd: tree,
    // The same source gives the same kernel, whoever builds it and when.
    env: {
      KBUILD_BUILD_USER: "vireo",
      KBUILD_BUILD_HOST: "vireo",
      KBUILD_BUILD_TIMESTAMP: (mtime ?? new Date(0)).toUTCString(),
    },
  };
  await runLogged(report.log, ["make", "vireo_defconfig"], options);
  let count = 0;
  const jobs = `-j${navigator.hardwareConcurrency}`;
  await runLogged(report.log, ["make", jobs, "vmlinux"], {
    ...options,
    onLine(line) {
      if (isBuildLine(line)) report.onPart(++count / BUILD_LINES);
    },
  });
}

/**
 * Whether a line of the kernel's build says that a file is being made.
 *
 * @param line such as `  CC      init/main.o`
 */
export function isBuildLine(line: string): boolean {
  return /^ {2}[A-Z][A-Z0-9]* +\S/.test(line);
}
