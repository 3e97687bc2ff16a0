/**
 * Compiles the freestanding C programs here, which run under the guest's Linux.
 *
 * @module
 */
import { type CommandLog, runLogged } from "./logged_command.ts";

// No libc: its start-up alone would be twenty system calls. No vector registers
// but where a program asks for them.
const COMPILE = [
  "-std=gnu11",
  "-Os",
  "-static",
  "-nostdlib",
  "-ffreestanding",
  "-mgeneral-regs-only",
  "-fno-pie",
  "-no-pie",
  "-fno-stack-protector",
  "-fno-asynchronous-unwind-tables",
  "-fcf-protection=none",
  "-Wall",
  "-Wl,--build-id=none,-z,norelro,-z,noseparate-code",
  "-s",
];

/**
 * Compiles one program.
 *
 * @param log where gcc's output goes
 * @param source the name of its source file in this folder
 * @param program the path of the ELF file to write
 * @throws {VireoError} if gcc fails
 */
export async function compileProgram(
  log: CommandLog,
  source: string,
  program: string,
): Promise<void> {
  const path = decodeURIComponent(new URL(source, import.meta.url).pathname);
  await runLogged(log, ["gcc", ...COMPILE, "-o", program, path]);
}
