/**
 * `vireo boot`: a machine on this process's standard input and output.
 *
 * @module
 */
import { closeRawImage, openRawImage } from "../devices/block/raw.ts";
import { VireoError } from "../ffi/errno.ts";
import { Kvm } from "../ffi/kvm.ts";
import { prepare, type Prepared, prepared } from "../guest/linux/prepare.ts";
import {
  DEFAULT_BOOT_ARGS,
  type Drive,
  machineSize,
  type VmConfig,
} from "./config.ts";
import { ExecStream, execWord, makeNonce } from "./exec.ts";
import { Machine } from "./machine.ts";
import type { MachineEnd } from "./messages.ts";
import {
  BUSYBOX,
  NO_ROOT,
  parseAcpi,
  parseCount,
  parseDevice,
  parseDisk,
  parseMemory,
  parseNet,
} from "./options.ts";
import { Terminal } from "./terminal.ts";

/** The command line of `vireo boot`, as words. */
export interface BootOptions {
  /** Path of the kernel; default: the prepared one. */
  kernel?: string;
  /** Path of the initial RAM disk. */
  initrd?: string;
  /** Words added to the kernel command line. */
  cmdline?: string;
  /** RAM: `128M`. */
  memory: string;
  /** vCPUs: `1`. */
  cpus: string;
  /** Root disk, {@linkcode BUSYBOX} or {@linkcode NO_ROOT}. */
  root?: string;
  /** Disks: `FILE[,ro][,direct]`. */
  disk: string[];
  /** Networks: `tap=NAME[,netns=NS][,mac=M]`. */
  net: string[];
  /** Modules of virtio devices: paths or URLs. */
  device: string[];
  /** How the guest finds its devices: `auto`, `on`, `off`. */
  acpi?: string;
  /** Longest polling time in microseconds: `100`. */
  pollUs?: string;
  /** Shell commands to run. */
  exec?: string;
  /** Print nothing but what the shell and its commands print. */
  quiet?: boolean;
}

/** Signals that end the machine, and the exit status they give. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Boots, connects the console, and waits for the end.
 *
 * @returns the exit status
 * @throws {VireoError} when the machine can't be made
 */
export async function boot(options: BootOptions): Promise<number> {
  const nonce = makeNonce();
  const config = await machineConfig(options, nonce);
  const session = new Session(options, nonce);
  return await session.run(config);
}

/** The machine that the options ask for; prepares a kernel if needed. */
async function machineConfig(
  options: BootOptions,
  nonce: string,
): Promise<VmConfig> {
  // Cheap mistakes first: nobody waits for a kernel to be built to hear them.
  const config: VmConfig = {
    "boot-source": {
      kernel_image_path: options.kernel ?? "",
      initrd_path: options.initrd,
      boot_args: bootArgs(options, nonce),
    },
    "machine-config": {
      vcpu_count: parseCount("--cpus", options.cpus),
      mem_size_mib: parseMemory(options.memory),
      acpi: options.acpi === undefined ? undefined : parseAcpi(options.acpi),
      poll_us: options.pollUs === undefined
        ? undefined
        : parseCount("--poll-us", options.pollUs),
    },
    drives: options.disk.map((disk, index) => parseDisk(disk, index + 1)),
    "network-interfaces": options.net.map(parseNet),
    devices: options.device.map(parseDevice),
  };
  const root = options.root ??
    (options.kernel === undefined && options.initrd === undefined
      ? BUSYBOX
      : NO_ROOT);
  const needsPrepared = options.kernel === undefined || root === BUSYBOX;
  const guest = needsPrepared
    ? await prepared() ?? await prepareFor(config)
    : undefined;
  if (options.kernel === undefined) {
    config["boot-source"].kernel_image_path = guest!.kernel;
  }
  const rootDrive = rootDisk(root, guest);
  if (rootDrive) config.drives!.unshift(rootDrive);
  return config;
}

/** Builds the guest, once it's sure that this host can run the machine. */
async function prepareFor(config: VmConfig): Promise<Prepared> {
  new Kvm().close();
  machineSize(config);
  for (const { path_on_host, is_read_only } of config.drives ?? []) {
    closeRawImage(openRawImage({ path: path_on_host, readOnly: is_read_only }));
  }
  return await prepare();
}

function rootDisk(root: string, guest?: Prepared): Drive | undefined {
  if (root === NO_ROOT) return undefined;
  const disk = root === BUSYBOX ? `${guest!.rootfs},ro` : root;
  return { ...parseDisk(disk, 0), is_root_device: true };
}

function bootArgs(options: BootOptions, nonce: string): string {
  const words = [DEFAULT_BOOT_ARGS];
  if (options.quiet) words.push("quiet", "loglevel=1");
  if (options.cmdline) words.push(options.cmdline);
  words.push(`VIREO_NONCE=${nonce}`);
  if (options.exec !== undefined) {
    words.push(execWord(options.exec));
  } else if (Deno.stdin.isTerminal() && Deno.stdout.isTerminal()) {
    const { rows, columns } = Deno.consoleSize();
    words.push(`VIREO_ROWS=${rows}`, `VIREO_COLS=${columns}`);
    const type = Deno.env.get("TERM") ?? "";
    if (/^[\w.+-]+$/.test(type)) words.push(`TERM=${type}`);
  }
  return words.join(" ");
}

/** One boot on this process's standard streams. */
class Session {
  readonly #quiet: boolean;
  readonly #exec: boolean;
  readonly #stream: ExecStream;

  constructor(options: BootOptions, nonce: string) {
    this.#quiet = options.quiet ?? false;
    this.#exec = options.exec !== undefined;
    const log = (bytes: Uint8Array) => {
      if (!this.#quiet) writeAll(Deno.stderr, bytes);
    };
    const output = (bytes: Uint8Array) => writeAll(Deno.stdout, bytes);
    this.#stream = new ExecStream(nonce, this.#exec ? log : output, output);
  }

  /** Runs a machine and returns the exit status. */
  async run(config: VmConfig): Promise<number> {
    await using machine = await Machine.create(config, {
      onOutput: (bytes) => this.#stream.push(bytes),
      onLog: (message) => console.error(`vireo: ${message}`),
    });
    let signalled: number | undefined;
    using stack = new DisposableStack();
    for (const [name, status] of Object.entries(SIGNALS)) {
      const stop = () => {
        signalled = status;
        machine.stop();
      };
      Deno.addSignalListener(name as Deno.Signal, stop);
      stack.defer(() => Deno.removeSignalListener(name as Deno.Signal, stop));
    }
    if (!this.#exec) {
      const terminal = stack.use(new Terminal());
      terminal.feed({
        input: (bytes) => machine.input(bytes),
        quit: () => void machine.stop(),
        say: (text) => console.error(`\r\nvireo: ${text}\r`),
      });
    }
    machine.start();
    const end = await machine.wait();
    stack.dispose();
    this.#stream.flush();
    return signalled ?? this.#exitStatus(end);
  }

  #exitStatus(end: MachineEnd): number {
    if (end.reason === "error" || end.reason === "triple-fault") {
      console.error(`vireo: ${end.message}`);
      return this.#stream.status || 1;
    }
    if (!this.#exec) return 0;
    if (this.#stream.status !== undefined) return this.#stream.status;
    throw new VireoError(
      this.#stream.began
        ? `--exec: the guest ended (${end.reason}) before the commands did`
        : `--exec: the guest ended (${end.reason}) before the commands ran; ` +
          "they need the prepared root image" +
          (this.#quiet ? "; without --quiet its log is shown" : ""),
    );
  }
}

/** Writes everything; a closed pipe is the reader's choice, not an error. */
function writeAll(
  stream: { writeSync(p: Uint8Array): number },
  bytes: Uint8Array,
): void {
  try {
    while (bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
