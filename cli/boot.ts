/**
 * `vireo boot`: the machine that the command line asks for.
 *
 * @module
 */
import { VireoError } from "../ffi/error.ts";
import { exists } from "../ffi/file.ts";
import { MACHINE_DESCRIPTORS, needDescriptors } from "../ffi/descriptors.ts";
import { Kvm } from "../ffi/kvm/kvm.ts";
import { KernelCommandLine } from "../guest/boot/cmdline.ts";
import { ENTRIES } from "../guest/kernel/entry.ts";
import {
  prepare,
  prepared,
  preparedRootfs,
  prepareRootfs,
} from "../images/linux/prepare.ts";
import type { VmConfig } from "../vmm/config/types.ts";
import { bootArgs } from "../vmm/config/boot_args.ts";
import { resolve, type ResolvedConfig } from "../vmm/config/resolve.ts";
import type { Finding } from "../vmm/config/schema/rule.ts";
import { type Drive, parseDisk } from "../vmm/devices/blk.ts";
import { didYouMean, parseChoice, parseCount } from "../vmm/devices/words.ts";
import { ACPI_CHOICES, TRANSPORTS } from "./boot_options.ts";
import { makeNonce } from "./exec.ts";
import {
  addWords,
  instantBoot,
  keepsCold,
  needsPowerOff,
  useOrders,
  type Wish,
  wordsOf,
} from "./instant/plan.ts";
import { devicesOf } from "./device_options.ts";
import { BUSYBOX, NO_ROOT, parseMemory, parseTimeout } from "./options.ts";
import { addHostCmdline } from "./kernel_quirks.ts";
import { optionReport } from "./option_report.ts";
import { parseCrashDir } from "./crash_dir.ts";
import { parseGdb } from "./gdb_option.ts";
import { load } from "./load.ts";
import { standardError } from "./streams/output.ts";
import { type MonitorWords, parseMonitors } from "./monitors.ts";
import { parseControl } from "./machines/control_options.ts";
import { Session } from "./session.ts";
import { type PreparedChoice, preparedChoice } from "./prepared_choice.ts";
import { parseSnapshots, rendezvousFolders } from "./snapshot/trigger.ts";

/** In the place of a kernel that is prepared after the other options. */
const NOT_YET = new Uint8Array();

/** The command line of `vireo boot`, as words; devices' among them. */
export interface BootOptions extends Record<string, unknown>, MonitorWords {
  /** Path of the kernel; default: the prepared one. */
  kernel?: string;
  /** Whose kernel to boot: `debian`. */
  distro?: string;
  /** Path of the initial RAM disk. */
  initrd?: string;
  /** Which prepared kernel. */
  variant?: string;
  /** Options of one's own for it. */
  kconfig?: string;
  /** Where to enter the kernel: one of {@linkcode ENTRIES}. */
  entry?: string;
  /** Words added to the kernel command line. */
  cmdline?: string;
  /** RAM: `128M`. */
  memory: string;
  /** Take the RAM from the host's huge pages. */
  hugepages?: boolean;
  /** File to share the RAM through. */
  memoryFile?: string;
  /** vCPUs: `1`. */
  cpus: string;
  /** Root disk, {@linkcode BUSYBOX} or {@linkcode NO_ROOT}. */
  root?: string;
  /** How the guest finds its devices: `auto`, `on`, `off`. */
  acpi?: string;
  /** How virtio devices are attached: `mmio` or `pci`. */
  transport: string;
  /** Longest polling time in microseconds: `100`. */
  pollUs?: string;
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
  /** Shell commands to run. */
  exec?: string;
  /** Boot from the beginning. */
  cold?: boolean;
  /** A kernel of one's own is one that the prepared init can ask under. */
  instant?: boolean;
  /** Print nothing but what the shell and its commands print. */
  quiet?: boolean;
  /** Print, at the end, which instructions were stepped past. */
  verbose?: boolean;
}

/**
 * Boots, connects the console, and waits for the end.
 *
 * @returns the exit status
 * @throws {VireoError} when the machine can't be made
 */
export async function boot(options: BootOptions): Promise<number> {
  const timeout = parseTimeout(options.timeout);
  const snapshots = parseSnapshots(options);
  const control = parseControl(options);
  const monitors = await parseMonitors(options);
  const gdb = parseGdb(options.gdb);
  const crashDir = parseCrashDir(options.crashDir);
  needDescriptors(MACHINE_DESCRIPTORS, "a machine");
  const { config, ours } = await machineConfig(options);
  const wish: Wish = {
    nonce: makeNonce(),
    exec: options.exec,
    cold: gdb?.wait || hasOwnConsole(options) || keepsCold(config, options),
    ownKernel: options.kernel !== undefined,
    folders: rendezvousFolders(snapshots, ours),
    say: (line) => standardError.note(`vireo: ${line}`),
  };
  const report = (findings: Finding[]) => optionReport(findings, 0);
  const address = ours
    ? useOrders(config, report)
    : addWords(config, wordsOf(wish));
  const note = await addHostCmdline(config);
  const resolved = resolve(config, report);
  const boot = ours ? await instantBoot(resolved, address, wish) : undefined;
  const session = new Session(wish.nonce, {
    note,
    quiet: options.quiet,
    verbose: options.verbose,
    exec: options.exec !== undefined,
    timeout,
    snapshots,
    control,
    monitors,
    gdb,
    crashDir,
    inputAfter: boot?.ordered,
    endsWithCommands: boot && !needsPowerOff(config),
  });
  return boot
    ? await session.runMade(resolved, (hooks) => boot.make(hooks))
    : await session.run(resolved);
}

/** The shell is perhaps not where Vireo looks for it. */
function hasOwnConsole({ cmdline = "" }: BootOptions): boolean {
  return new KernelCommandLine(cmdline).has("console");
}

/** The machine that the options ask for; prepares a kernel if needed. */
async function machineConfig(
  options: BootOptions,
): Promise<{ config: VmConfig; ours: boolean }> {
  // Cheap mistakes first: nobody waits for a kernel to be built to hear them.
  const choice = preparedChoice(options);
  const config: VmConfig = {
    "boot-source": {
      kernel_image_path: options.kernel ?? NOT_YET,
      entry: options.entry === undefined
        ? undefined
        : parseChoice("--entry", options.entry, ENTRIES),
      initrd_path: options.initrd,
    },
    "machine-config": {
      vcpu_count: parseCount("--cpus", options.cpus),
      mem_size_mib: parseMemory(options.memory),
      huge_pages: options.hugepages ? "2M" : undefined,
      memory_file: options.memoryFile,
      transport: parseChoice("--transport", options.transport, TRANSPORTS),
      acpi: options.acpi === undefined
        ? undefined
        : parseChoice("--acpi", options.acpi, ACPI_CHOICES),
      poll_us: options.pollUs === undefined
        ? undefined
        : parseCount("--poll-us", options.pollUs),
    },
    ...devicesOf(options),
  };
  config["boot-source"].boot_args = commandLine(config, options);
  const early = resolve(config, (findings) => optionReport(findings));
  if (options.exec !== undefined && config.console?.backend !== undefined) {
    throw new VireoError(
      "--exec: its output is the main console's, and that is --console's module's",
    );
  }
  const root = options.root ?? (isPlain(options) ? BUSYBOX : NO_ROOT);
  if (root !== BUSYBOX && root !== NO_ROOT) addRoot(config, ownRoot(root));
  const ownKernel = options.kernel !== undefined ||
    options.distro !== undefined;
  if (ownKernel && choice) {
    throw new VireoError(
      "--variant: names a prepared kernel, and goes without KERNEL and --distro",
    );
  }
  if (options.distro !== undefined) {
    const { checkDistro, useDistro }: typeof import("./distro.ts") = await load(
      new URL("./distro.ts", import.meta.url),
    );
    checkDistro(options);
    await checkHost(config);
    await useDistro(config, (line) => {
      if (!options.quiet) standardError.note(`vireo: ${line}`);
    });
  }
  const rootfs = ownKernel
    ? root === BUSYBOX ? await rootImage(config) : undefined
    : await usePrepared(config, preparedKernel(options, early, choice));
  if (root === BUSYBOX) {
    addRoot(config, parseDisk(`${rootfs?.replaceAll(",", ",,")},ro`, 0));
  }
  const asks = root === BUSYBOX && options.initrd === undefined;
  if (options.instant && (!asks || options.distro !== undefined)) {
    throw new VireoError(
      "--instant: needs the prepared root image, --root busybox, without " +
        "--initrd and --distro: its init asks for orders",
    );
  }
  return { config, ours: asks && (!ownKernel || options.instant === true) };
}

/** The prepared kernel that is chosen, or that has what this machine needs. */
function preparedKernel(
  { quiet = false }: BootOptions,
  { cpus, acpi, transport }: ResolvedConfig,
  choice: PreparedChoice | undefined,
): PreparedChoice {
  const wants: string[] = [];
  if (cpus > 1) wants.push(`${cpus} CPUs`);
  if (acpi) wants.push("ACPI");
  if (transport === "pci") wants.push("PCI");
  if (choice?.variant === "small" && wants.length > 0) {
    throw new VireoError(`--variant small: it has not ${wants.join(", ")}`);
  }
  if (choice) return choice;
  if (wants.length === 0) return { variant: "small" };
  if (!quiet) {
    standardError.note(`vireo: the full kernel, for ${wants.join(" and ")}`);
  }
  return { variant: "full" };
}

/** Boots the prepared kernel; returns the root image that goes with it. */
async function usePrepared(
  config: VmConfig,
  { variant, kconfig }: PreparedChoice,
): Promise<string> {
  const own = kconfig === undefined ? {} : { kconfig };
  let guest = await prepared(variant, own);
  if (guest === undefined) {
    await checkHost(config);
    guest = await prepare({ variant, ...own });
  }
  config["boot-source"].kernel_image_path = guest.kernel;
  return guest.rootfs;
}

/** The root image for another kernel. */
async function rootImage(config: VmConfig): Promise<string> {
  const path = await preparedRootfs();
  if (path !== undefined) return path;
  await checkHost(config);
  return await prepareRootfs();
}

/** Nothing is said about what to boot. */
function isPlain({ kernel, initrd, distro }: BootOptions): boolean {
  return [kernel, initrd, distro].every((choice) => choice === undefined);
}

/** What can be known before anything is fetched or built. */
async function checkHost({ drives = [] }: VmConfig): Promise<void> {
  new Kvm().close();
  const { closeRawImage, openRawImage }:
    typeof import("../devices/backends/block/open_image.ts") = await load(
      new URL("../devices/backends/block/open_image.ts", import.meta.url),
    );
  for (const { path_on_host: path, is_read_only: readOnly } of drives) {
    if (path !== undefined) closeRawImage(openRawImage({ path, readOnly }));
  }
}

function addRoot(config: VmConfig, drive: Drive): void {
  const root = { ...drive, is_root_device: true };
  config.drives = [root, ...config.drives ?? []];
}

/** A root disk of the user's, and not a word for one that is mistyped. */
function ownRoot(text: string): Drive {
  const drive = parseDisk(text, 0);
  const { path_on_host: path } = drive;
  if (path === undefined) return drive; // a module, which is there
  const meant = didYouMean(path, [BUSYBOX, NO_ROOT]);
  if (meant === "" || exists(path)) return drive;
  throw new VireoError(`--root ${text}: no such file${meant}`);
}

function commandLine(config: VmConfig, options: BootOptions): string {
  const given = [`${bootArgs(config)}`];
  if (options.quiet) given.push("quiet loglevel=1");
  if (options.cmdline) given.push(options.cmdline);
  return given.join(" ");
}
