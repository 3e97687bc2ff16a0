/**
 * For tests: programs without root's rights, started by root.
 *
 * @module
 */

/** What `setpriv` needs before a program's name, to make it nobody's. */
const NOBODY = ["--reuid=65534", "--clear-groups"];
/**
 * The one right that stays: to find and read this program and these sources,
 * which may lie in root's own folder. It opens nothing for writing.
 */
const RIGHTS = "-all,+dac_read_search";

/** The programs that {@linkcode WITH_KVM} calls. */
export const FOR_KVM = ["setpriv", "unshare", "mount"];
/** In the place of /dev/kvm, seen by nobody else: one that everybody may open. */
const WITH_KVM = "mount -t tmpfs none /mnt && mknod -m 666 /mnt/kvm c 10 232 " +
  '&& mount --bind /mnt/kvm /dev/kvm && exec "$@"';

/**
 * Runs a Deno program that may write what everybody may.
 *
 * @param program its source
 * @param home a folder for what Deno keeps, writable for everybody
 * @param kvm it may use KVM, as a user in its group may
 */
export function denoAsNobody(
  program: string,
  home: string,
  kvm = false,
): Promise<Deno.CommandOutput> {
  const through = kvm ? ["unshare", "-m", "sh", "-c", WITH_KVM, "sh"] : [];
  const [first, ...rest] = [...through, "setpriv"];
  return new Deno.Command(first!, {
    args: [
      ...rest,
      ...NOBODY,
      `--bounding-set=${RIGHTS}`,
      `--inh-caps=${RIGHTS}`,
      `--ambient-caps=${RIGHTS}`,
      ...["--", Deno.execPath(), "eval", program],
    ],
    env: { NO_COLOR: "1", DENO_DIR: `${home}/deno`, HOME: home },
  }).output();
}
