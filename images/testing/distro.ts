/**
 * For tests: programs of Debian's that are booted as kernels.
 *
 * @module
 */
import { cacheFolder, isBuilt } from "../linux/cache.ts";
import { CommandLog, runLogged } from "../linux/logged_command.ts";
import { MEMTEST } from "../../ffi/packages.ts";
import { isOnPath, type Need } from "../../ffi/testing/needs.ts";
import { Apt } from "../distro/apt.ts";

/** Debian's mirrors, or those of what comes from Debian. */
export const APT: Need = {
  missing: () => isOnPath("apt-get") ? "" : "no apt-get: not a Debian host",
};

/**
 * The path of Memtest86+ for 64 bits, out of Debian's package: a bzImage of a
 * kernel that is not Linux. Kept with what else is fetched.
 */
export async function memtestImage(): Promise<string> {
  const folder = `${cacheFolder()}/${MEMTEST}`;
  const image = `${folder}/memtest86+x64.bin`;
  if (await isBuilt(image)) return image;
  await Deno.mkdir(folder, { recursive: true });
  const work = await Deno.makeTempDir({ dir: folder, prefix: "work-" });
  try {
    using log = new CommandLog(`${work}/log`);
    const apt = new Apt(work, log);
    const deb = await apt.download(await apt.show(MEMTEST), work);
    await runLogged(log, ["dpkg-deb", "-x", deb, work]);
    await Deno.rename(`${work}/boot/memtest86+x64.bin`, image);
  } finally {
    await Deno.remove(work, { recursive: true });
  }
  return image;
}
