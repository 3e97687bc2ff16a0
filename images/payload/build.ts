/**
 * Builds the payload: `deno run -A images/payload/build.ts [OUTPUT]`.
 *
 * The result is the same byte for byte wherever {@linkcode COMPILER_VERSION} is the
 * compiler, so the committed ELF can be checked against its sources.
 *
 * @module
 */
import { payloadPath } from "./payload.ts";

/** What Debian 12 has; other versions generate other (equally good) code. */
export const COMPILER_VERSION = "12.2.0";

const SOURCES = new URL("./src/", import.meta.url);

const FLAGS: readonly string[] = [
  "-std=c11",
  "-O2",
  "-Wall",
  "-Wextra",
  "-Werror",
  // No operating system, no C library, no exceptions, no debug information.
  "-ffreestanding",
  "-nostdlib",
  "-fno-stack-protector",
  "-fno-asynchronous-unwind-tables",
  "-fno-strict-aliasing", // rings and frames are read through casts
  // Linked at a fixed low address.
  "-static",
  "-fno-pic",
  "-no-pie",
  "-mcmodel=small",
  // Nobody saves vector registers, and no CPU feature is assumed.
  "-march=x86-64",
  "-mgeneral-regs-only",
  "-mno-red-zone",
  "-fcf-protection=none",
  // Reproducible and small.
  "-Wl,--build-id=none",
  "-Wl,-z,noexecstack",
  "-Wl,--strip-all",
];

/**
 * The version of the installed C compiler.
 *
 * @returns gcc's full version, or null when there is no gcc.
 */
export async function compilerVersion(): Promise<string | null> {
  try {
    const { stdout } = await new Deno.Command("gcc", {
      args: ["-dumpfullversion"],
    }).output();
    return new TextDecoder().decode(stdout).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** The sources in a fixed order: it decides the layout of the image. */
function sourceFiles(): string[] {
  return [...Deno.readDirSync(SOURCES)]
    .map((entry) => entry.name)
    .filter((name) => name.endsWith(".S") || name.endsWith(".c"))
    .sort();
}

/**
 * Compiles and links the payload.
 *
 * @param output The path of the ELF file to write.
 */
export async function buildPayload(output: string): Promise<void> {
  const { code, stderr } = await new Deno.Command("gcc", {
    args: [...FLAGS, "-T", "payload.ld", "-o", output, ...sourceFiles()],
    cwd: SOURCES,
  }).output();
  if (code !== 0) {
    throw new Error(
      `build the payload: gcc failed\n${new TextDecoder().decode(stderr)}`,
    );
  }
  await Deno.chmod(output, 0o644);
}

/** gcc runs in the source folder, so the output's path must be absolute. */
async function absolutePath(output: string | undefined): Promise<string> {
  if (output === undefined) return await Deno.realPath(payloadPath);
  return output.startsWith("/") ? output : `${Deno.cwd()}/${output}`;
}

if (import.meta.main) {
  await buildPayload(await absolutePath(Deno.args[0]));
}
