/**
 * `vireo gdb` and `vireo dump`: a debugger on a machine of another process, and a
 * core of it.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { absolutePath } from "../../ffi/own_name.ts";
import { packageOf } from "../../ffi/packages.ts";
import { ask, socketOf } from "../../vmm/controller/client.ts";
import { telling } from "./control.ts";

const GDB = "gdb";
/** How long a machine may take to listen, in milliseconds. */
const TIME = 30_000;
const ELF_MAGIC = [0x7f, 0x45, 0x4c, 0x46];
/** Where a built kernel's bzImage is in its folder; vmlinux is at the top. */
const IN_BUILD = /\/arch\/[^/]+\/boot\/[^/]+$/;

/**
 * Runs gdb on a machine, which goes on when gdb has ended.
 *
 * @param which its name, process or control socket
 * @param symbols a vmlinux; default: what the machine was booted from
 * @returns gdb's exit status
 * @throws {VireoError} there is no such machine, or no gdb
 */
export async function gdb(which: string, symbols?: string): Promise<number> {
  const path = await socketOf(which);
  const { target, kernel } = await telling(
    which,
    () => ask(path, "gdb", {}, TIME),
  ) as { target: string; kernel?: string };
  const file = symbols ?? (kernel && vmlinuxOf(kernel));
  const nothing = () => {};
  Deno.addSignalListener("SIGINT", nothing); // Ctrl-C is for gdb
  try {
    const { code } = await new Deno.Command(GDB, {
      args: ["-q", "-ex", `target remote ${target}`, ...(file ? [file] : [])],
    }).spawn().status;
    return code;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    const name = packageOf(GDB);
    throw new VireoError(`gdb is missing: apt-get install ${name}`);
  } finally {
    Deno.removeSignalListener("SIGINT", nothing);
  }
}

/**
 * Writes an ELF core of a machine, which goes on.
 *
 * @param which its name, process or control socket
 * @throws {VireoError} there is no such machine, or it can't be written
 */
export async function dump(which: string, file: string): Promise<void> {
  const path = await socketOf(which);
  await telling(which, () => ask(path, "dump", { file: absolutePath(file) }));
}

/** The ELF file that has a kernel's symbols, if it has any; undefined: none. */
export function vmlinuxOf(kernel: string): string | undefined {
  const built = kernel.replace(IN_BUILD, "/vmlinux");
  return [kernel, built].find(isElf);
}

function isElf(path: string): boolean {
  try {
    using file = Deno.openSync(path);
    const magic = new Uint8Array(ELF_MAGIC.length);
    return file.readSync(magic) === magic.length &&
      magic.every((byte, i) => byte === ELF_MAGIC[i]);
  } catch {
    return false;
  }
}
