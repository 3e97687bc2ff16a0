/**
 * `vireo run`: the machine that a configuration file describes.
 *
 * @module
 */
import { MACHINE_DESCRIPTORS, needDescriptors } from "../ffi/descriptors.ts";
import { VireoError } from "../ffi/error.ts";
import { readConfigFile } from "../vmm/config/file.ts";
import { resolve } from "../vmm/config/resolve.ts";
import type { VmConfig } from "../vmm/config/types.ts";
import { bootArgs } from "../vmm/config/boot_args.ts";
import type { Drive } from "../vmm/devices/blk.ts";
import { prepared } from "../images/linux/prepare.ts";
import { makeNonce } from "./exec.ts";
import { instantBoot, keepsCold, useOrders } from "./instant/plan.ts";
import { parseCrashDir } from "./crash_dir.ts";
import { parseGdb } from "./gdb_option.ts";
import { standardError } from "./streams/output.ts";
import { parseTimeout, VARIANTS } from "./options.ts";
import { addHostCmdline } from "./kernel_quirks.ts";
import { type MonitorWords, parseMonitors } from "./monitors.ts";
import { parseControl } from "./machines/control_options.ts";
import { Session } from "./session.ts";
import { parseSnapshots, rendezvousFolders } from "./snapshot/trigger.ts";

/** The command line of `vireo run`, as words. */
export interface RunOptions extends MonitorWords {
  /** The file's path; it has to be there. */
  config?: string;
  /** Seconds until the machine is ended: `60`. */
  timeout?: string;
  /** What the machine is called. */
  name?: string;
  /** It has a control socket. */
  control?: boolean;
  /** Where gdb can attach: `unix`, `1234,wait`. */
  gdb?: string;
  /** Where to keep crashes: `crashes,core`. */
  crashDir?: string;
  /** When to save the machine, and where. */
  snapshotOn?: string[];
  /** It has to be able to go on from where an earlier run asked for orders. */
  instant?: boolean;
  /** Boot from the beginning. */
  cold?: boolean;
}

/**
 * Runs the machine of a file, with its console on standard input and output.
 *
 * @returns the exit status
 * @throws {VireoError} when the file is wrong, or the machine can't be made
 */
export async function run(options: RunOptions): Promise<number> {
  const timeout = parseTimeout(options.timeout);
  const snapshots = parseSnapshots(options);
  rendezvousFolders(snapshots, false);
  const control = parseControl(options);
  const monitors = await parseMonitors(options);
  const gdb = parseGdb(options.gdb);
  const crashDir = parseCrashDir(options.crashDir);
  needDescriptors(MACHINE_DESCRIPTORS, "a machine");
  if (options.config === undefined) {
    throw new VireoError("required option '--config <file>' not specified");
  }
  const config = await readConfigFile(options.config);
  const instant = await asksForOrders(config, options.instant) &&
    !gdb?.wait && !keepsCold(config, options);
  const address = instant ? useOrders(config) : undefined;
  const note = await addHostCmdline(config);
  const resolved = resolve(config);
  const say = (line: string) => standardError.note(`vireo: ${line}`);
  const wish = { nonce: makeNonce(), folders: [], say };
  const boot = instant ? await instantBoot(resolved, address, wish) : undefined;
  const session = new Session(wish.nonce, {
    ...{ note, timeout, snapshots, control, gdb, crashDir, monitors },
    inputAfter: boot?.ordered,
    detached: true,
  });
  return boot
    ? await session.runMade(resolved, (hooks) => boot.make(hooks))
    : await session.run(resolved);
}

/**
 * Whether it is the prepared guest, as vireo boot has it: another's init asks
 * for no orders, and one that is told what to do has no use for them.
 *
 * @param wanted it has to be
 * @throws {VireoError} it is not
 */
async function asksForOrders(
  config: VmConfig,
  wanted = false,
): Promise<boolean> {
  const { initrd_path, boot_args = "" } = config["boot-source"];
  const root = config.drives?.find((drive) => drive.is_root_device);
  const told = /(^|\s)(VIREO_\w+|init)=/.test(boot_args);
  const could = root?.is_read_only && !initrd_path && !told &&
    hasUsualConsole(config);
  if (could && await isPrepared(config, root)) return true;
  if (!wanted) return false;
  throw new VireoError(
    "--instant: only with the kernel and the read-only root image that vireo " +
      "prepare prints, without an initrd, init=, VIREO_EXEC and another " +
      "console= than the main one",
  );
}

/** The kernel's console is the one that the shell is to be on. */
function hasUsualConsole(config: VmConfig): boolean {
  const words = [...`${bootArgs(config)}`.matchAll(/(?:^|\s)console=(\S+)/g)];
  const usual = config.console?.main ? "hvc0" : "ttyS0";
  return words.length === 1 && words[0]![1]!.split(",")[0] === usual;
}

async function isPrepared(config: VmConfig, root: Drive): Promise<boolean> {
  const { kernel_image_path: kernel } = config["boot-source"];
  const guests = await Promise.all(VARIANTS.map((name) => prepared(name)));
  return guests.some((guest) =>
    guest !== undefined && isSame(kernel, guest.kernel) &&
    isSame(root.path_on_host, guest.rootfs)
  );
}

function isSame(path: unknown, other: string): boolean {
  try {
    return Deno.realPathSync(`${path}`) === Deno.realPathSync(other);
  } catch {
    return false; // which is told when it is opened
  }
}
