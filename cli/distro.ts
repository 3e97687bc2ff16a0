/**
 * `--distro`: a distribution's kernel as the machine's.
 *
 * @module
 */
import { VireoError } from "../ffi/error.ts";
import { KernelCommandLine } from "../guest/boot/cmdline.ts";
import type { VmConfig } from "../vmm/config/types.ts";
import { didYouMean } from "../vmm/devices/words.ts";
import { stockCmdline } from "./kernel_quirks.ts";
import { load } from "./load.ts";
import { DISTROS } from "./options.ts";
import { cacheFolder } from "../images/linux/cache.ts";
import { knownHost } from "../probe/known_host.ts";

/** The options that say what to boot. */
export interface KernelChoice {
  /** Path of a kernel. */
  kernel?: string;
  /** Path of an initial RAM disk. */
  initrd?: string;
  /** Whose kernel: `debian`. */
  distro?: string;
}

/**
 * Refuses distributions that are not known, and a second choice of kernel.
 *
 * @throws {VireoError} saying what to change
 */
export function checkDistro({ kernel, initrd, distro }: KernelChoice): void {
  if (distro !== "debian") {
    throw new VireoError(
      `--distro ${distro}: only "debian" is known` +
        didYouMean(`${distro}`, DISTROS),
    );
  }
  if (kernel !== undefined || initrd !== undefined) {
    const other = kernel === undefined ? "--initrd" : "a kernel";
    throw new VireoError(`--distro brings its own: leave out ${other}`);
  }
}

/**
 * Puts Debian's kernel and its initial RAM disk into `config`, with words on
 * the command line where this host's KVM needs them.
 *
 * @param say told what was added; nobody with `--quiet`
 */
export async function useDistro(
  config: VmConfig,
  say: (line: string) => void,
): Promise<void> {
  const { prepareDebian }: typeof import("../images/distro/debian.ts") =
    await load(new URL("../images/distro/debian.ts", import.meta.url));
  const { kernel, initrd, version } = await prepareDebian();
  const source = config["boot-source"];
  source.kernel_image_path = kernel;
  source.initrd_path = initrd;
  say(version);
  const args = new KernelCommandLine(source.boot_args ?? "");
  const host = await knownHost(cacheFolder());
  const words = stockCmdline(host, args).join(" ");
  if (words === "") return;
  say(`this host emulates guest kernel code: adding ${words}`);
  const machine = config["machine-config"] ??= {};
  machine.carry_syscalls = host.emulatesKernel;
  // The user's own words come later, and win.
  source.boot_args = `${words} ${args}`;
}
