/**
 * Builds the guest's root image: busybox, our init (`init.c`), `vsock.c`, and the
 * few files in `files/`.
 *
 * @module
 */
import { type CommandLog, runLogged } from "./logged_command.ts";
import { compileProgram } from "./program.ts";
import { VireoError } from "../../ffi/errno.ts";

const BUSYBOX = "/bin/busybox";
const FILES = new URL("files/", import.meta.url);

/** Folders besides those of busybox's programs. */
const FOLDERS = ["dev", "proc", "run", "sys", "etc/udhcpc", "var/www"];

/**
 * What must be writable, as links into the tmpfs that init mounts on `/run`: the
 * image itself is attached read-only, so that all guests share one.
 */
const LINKS: Readonly<Record<string, string>> = {
  "tmp": "run/tmp",
  "root": "run/root",
  "mnt": "run/mnt",
  "init": "sbin/init",
  "etc/mtab": "../proc/mounts",
  "etc/resolv.conf": "../run/resolv.conf",
  "var/log": "../run/log",
  "var/run": "../run",
  "var/tmp": "../run/tmp",
};

/** Names that busybox would give programs that ours replace. */
const NOT_BUSYBOX = ["bin/busybox", "sbin/init", "linuxrc"];

/**
 * What mounts quickest where kernel code is slow: no journal and no checksums,
 * which a read-only image has no use for; no index, because no folder has more
 * than two blocks; pages and blocks of one size.
 */
const FORMAT = [
  "-t",
  "ext4",
  "-b",
  "4096",
  "-I",
  "256",
  "-N",
  "256",
  "-m",
  "0",
  "-O",
  "^has_journal,^metadata_csum,^uninit_bg,^64bit,^resize_inode,^dir_index," +
  "^flex_bg,^huge_file",
  "-E",
  "root_owner=0:0,hash_seed=76697265-6f00-4000-8000-000000000000," +
  "lazy_itable_init=0",
  "-U",
  "76697265-6f00-4000-8000-000000000001",
  "-L",
  "vireo",
];

/** Room for what is written to a copy of the image that is attached writable. */
const SIZE = "16M";

/**
 * Gathers the files and makes an ext4 image of them.
 *
 * @param work an empty folder
 * @param log where the output of programs goes
 * @returns the path of the image
 * @throws {VireoError} if a program fails
 */
export async function buildRootfs(
  work: string,
  log: CommandLog,
): Promise<string> {
  const stage = `${work}/root`;
  for (const folder of FOLDERS) {
    await Deno.mkdir(`${stage}/${folder}`, { recursive: true });
  }
  await installBusybox(stage);
  for (const [path, target] of Object.entries(LINKS)) {
    await Deno.symlink(target, `${stage}/${path}`);
  }
  await copyFiles(FILES, stage);
  await compileProgram(log, "init.c", `${stage}/sbin/init`);
  await compileProgram(log, "vsock.c", `${stage}/bin/vsock`);
  const image = `${work}/rootfs.ext4`;
  await runLogged(log, ["mke2fs", "-d", stage, ...FORMAT, image, SIZE]);
  return image;
}

/** Hard links: a lookup of any program finds an inode that is in memory. */
async function installBusybox(stage: string): Promise<void> {
  const program = `${stage}/bin/busybox`;
  await Deno.mkdir(`${stage}/bin`, { recursive: true });
  await Deno.copyFile(BUSYBOX, program);
  await Deno.chmod(program, 0o755);
  const { success, stdout } = await new Deno.Command(BUSYBOX, {
    args: ["--list-full"],
  }).output();
  if (!success) throw new VireoError(`${BUSYBOX} --list-full: failed`);
  for (const path of appletPaths(new TextDecoder().decode(stdout))) {
    const folder = path.slice(0, path.lastIndexOf("/"));
    await Deno.mkdir(`${stage}/${folder}`, { recursive: true });
    await Deno.link(program, `${stage}/${path}`);
  }
}

/**
 * The paths for links to busybox.
 *
 * @param list what `busybox --list-full` printed
 */
export function appletPaths(list: string): string[] {
  return list.split("\n").filter((path) =>
    path.includes("/") && !NOT_BUSYBOX.includes(path)
  );
}

async function copyFiles(from: URL, to: string): Promise<void> {
  for await (const entry of Deno.readDir(from)) {
    const source = new URL(entry.name, from);
    const target = `${to}/${entry.name}`;
    if (entry.isDirectory) {
      await Deno.mkdir(target, { recursive: true });
      await copyFiles(new URL(`${entry.name}/`, from), target);
    } else {
      await Deno.copyFile(source, target);
      await Deno.chmod(target, entry.name.endsWith(".script") ? 0o755 : 0o644);
    }
  }
}
