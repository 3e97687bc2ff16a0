/**
 * The command line: `vireo boot`, `vireo run`, `vireo demo`, `vireo prepare`.
 *
 * @module
 */
import { Command, CommanderError, Option } from "commander";
// Only what needs no permission: the rest is imported by the command that is
// run, so that a missing permission gets a message.
import { VireoError } from "./ffi/error.ts";
import { CLOUD_KERNEL, KERNEL_SOURCE } from "./ffi/packages.ts";
import type { BootOptions } from "./cli/boot.ts";
import type { PrepareCommandOptions } from "./cli/prepare.ts";
import type { OptionRow } from "./vmm/devices/kind.ts";
import { BUSYBOX, NO_ROOT } from "./cli/options.ts";

const BOOT_HELP = `
Without KERNEL, boots the prepared kernel (built on first use) with a busybox
root image on /dev/vda. KERNEL is a vmlinux (64-bit ELF), a bzImage, a kernel
with a PVH entry, or one of these compressed: "vireo inspect KERNEL" says what
it is. With KERNEL, there is no root disk unless --root says so; "--root
${BUSYBOX}" is the prepared image.

With --distro debian, boots Debian's ${CLOUD_KERNEL}, fetched by apt-get
without installing it, with an initial RAM disk that loads its virtio modules:
a busybox shell, or with --root the system on that disk.

The serial console is standard input and output. On a terminal, Ctrl-A x ends
the machine. Input from a pipe is typed into the guest's shell, and the guest
powers off after its end:
  echo 'uname -a' | vireo boot

With --exec, standard output is the output of the commands, and the exit status
is theirs; the kernel's log goes to standard error:
  vireo boot --quiet --exec 'cat /proc/meminfo'

On a host whose KVM emulates kernel code (see "vireo probe"), a KERNEL gets
words on its command line that help there, and a line on standard error says so.

Disks after the root disk are /dev/vdb, /dev/vdc, ... A disk with ",ro" is never
opened for writing; ",direct" bypasses the host's page cache; ",queues=4" gives
up to four vCPUs a request queue of their own.

A network needs a TAP, with root once: ip tuntap add tap0 mode tap; ip addr add 10.0.0.1/24 dev
tap0; ip link set tap0 up; then
  vireo boot --net tap=tap0 --cmdline 'ip=10.0.0.2::10.0.0.1:255.255.255.0'

A kernel with ACPI finds its devices in ACPI tables, any other one by words on
its command line. --acpi on and --acpi off choose for it.

With --vsock, host programs reach port 52 of the guest by writing "CONNECT 52"
and a newline to the Unix socket PATH; the guest's programs reach port 52 of the
host (CID 2) if somebody listens on the Unix socket PATH_52.

A bzImage is unpacked on the host. --entry bzimage lets the guest do it, and
--entry pvh enters a kernel as its PVH note says.

With --console virtio the guest's console is hvc0, and costs the guest far less
than the serial port. A --port is /dev/vport1p0 or so in the guest; programs on
the host connect to its socket, one at a time.

With --balloon the guest gives up MIB of its memory to the host; with "reporting"
also what it frees, as it goes.

Exit status: 0 after power-off, reset or Ctrl-A x; with --exec that of the
commands; 1 after an error or a triple fault; 130 and 143 after SIGINT, SIGTERM.`;

const RUN_HELP = `
FILE is JSON in the format of Firecracker's --config-file; docs/configuration.md
has all keys, and those that Vireo adds. Relative paths in it are relative to
the working directory. examples/vm.json is one to begin with.

Console and exit status are as with "boot".`;

const PROBE_HELP = `
Measures in guests of a few bytes, for about a second, and needs no kernel.
--json prints the same for programs. Exit status: 1 when Vireo can't run here.`;

const DEMO_HELP = `
Boots Vireo's own small guest, whose drivers write, flush, read and verify a
scratch disk and, when this may make a network namespace with a TAP, ping the
host. No kernel is needed.`;

const INSPECT_HELP = `
Tells formats by content: vmlinux (ELF), bzImage, and either compressed with
gzip, xz, lz4, zstd, lzma, bzip2 or lzo. What drivers are in a kernel is known
when it has its configuration inside (CONFIG_IKCONFIG), or in a file beside it
like /boot/config-VERSION. Needs no /dev/kvm.`;

const PREPARE_HELP = `
Builds the guest kernel from Debian's ${KERNEL_SOURCE} and a busybox root image,
and keeps them in ~/.cache/vireo. Installs the Debian packages that it needs when
it runs as root, else prints the command that does. "boot" does this by itself.

The small kernel boots the quickest and has one CPU; the full one has several,
ACPI and PCI. With --all, both are built, and bzImages of the full one.

--export FILE puts them into an archive for a machine without a network, or
without the time; there --from takes what these sources need out of it, and
checks each file's SHA-256:
  vireo prepare --export vireo-guest.tar.gz
  vireo prepare --from vireo-guest.tar.gz`;

/** Where these are in the help; an option that isn't here comes after them. */
const DEVICE_OPTIONS = "disk net pcap vsock device transport acpi console " +
  "port rng balloon";

function collect(value: string, previous: string[]): string[] {
  return [...previous, value];
}

function optionOf(row: OptionRow): Option {
  const option = new Option(row.flags, row.about).default(row.default);
  return row.repeatable ? option.default([]).argParser(collect) : option;
}

/** Options of `boot` that are devices, or for all of them. */
async function deviceOptions(): Promise<Option[]> {
  const { deviceOptions } = await import("./cli/device_options.ts");
  const options = [...deviceOptions(), ...TRANSPORT_OPTIONS].map(optionOf);
  const names = DEVICE_OPTIONS.split(" ");
  const place = (option: Option) =>
    (names.indexOf(option.name()) + 1) || Infinity;
  return options.sort((a, b) => place(a) - place(b));
}

const TRANSPORT_OPTIONS: OptionRow[] = [
  {
    flags: "--transport <name>",
    about: "attach virtio devices by mmio or pci",
    default: "mmio",
  },
  {
    flags: "--acpi <choice>",
    about: "on, off, or auto: as the kernel has it",
  },
];

/** The command line. Only one that says `boot` loads what knows its devices. */
async function program(args: readonly string[]): Promise<Command> {
  const devices = args.includes("boot") ? await deviceOptions() : [];
  const vireo = new Command("vireo")
    .description("A KVM virtual machine monitor in TypeScript.")
    .exitOverride()
    .configureOutput({
      outputError: (text, write) =>
        write(text.trim().replace(/^error/, "vireo").replace("\n", " ") + "\n"),
    });
  const boot = vireo.command("boot")
    .description("Boot a Linux kernel.")
    .argument(
      "[kernel]",
      "vmlinux, bzImage or PVH kernel; default: the prepared one",
    )
    .option("--entry <where>", "vmlinux, pvh or bzimage; default: what suits")
    .option("--distro <name>", 'the kernel of a distribution: "debian"')
    .option("--initrd <file>", "initial RAM disk")
    .option("--cmdline <words>", "more words for the kernel command line")
    .option("--memory <size>", "RAM, such as 64M or 2G, to 64G", "128M")
    .option("--hugepages", "RAM from the host's pool of 2 MiB pages")
    .option("--memory-file <file>", "share the RAM through a file, kept")
    .option("--cpus <count>", "virtual CPUs, 1 to 32", "1")
    .option(
      "--root <file>",
      `root disk: FILE[,ro][,direct][,queues=N], "${BUSYBOX}" or "${NO_ROOT}"`,
    );
  for (const option of devices) boot.addOption(option);
  boot
    .option("--exec <commands>", "run them in the guest's shell, and end")
    .option("--poll-us <time>", "longest time to look for I/O before sleeping")
    .option("--quiet", "no kernel log")
    .option("--verbose", "say what KVM's emulator left to Vireo, at the end")
    .addHelpText("after", BOOT_HELP)
    .action(async (kernel: string | undefined, options: BootOptions) => {
      const { boot } = await import("./cli/boot.ts");
      Deno.exitCode = await boot({ ...options, kernel });
    });
  vireo.command("run")
    .description("Run the machine that a configuration file describes.")
    .requiredOption("--config <file>", "the configuration, in JSON")
    .addHelpText("after", RUN_HELP)
    .action(async ({ config }: { config: string }) => {
      const { run } = await import("./cli/run.ts");
      Deno.exitCode = await run(config);
    });
  vireo.command("probe")
    .description("Tell what this host offers, and what that means.")
    .option("--json", "for programs")
    .addHelpText("after", PROBE_HELP)
    .action(async (options: { json?: boolean }) => {
      const { probeCommand } = await import("./probe/command.ts");
      Deno.exitCode = probeCommand(options);
    });
  vireo.command("demo")
    .description("Show disk and network working, in two seconds.")
    .addHelpText("after", DEMO_HELP)
    .action(async () => {
      const { demo } = await import("./examples/demo.ts");
      Deno.exitCode = await demo();
    });
  vireo.command("inspect")
    .description("Say what a kernel is, and whether it boots.")
    .argument("<kernel>", "vmlinux, bzImage, or one of them compressed")
    .option("--json", "as JSON")
    .addHelpText("after", INSPECT_HELP)
    .action(async (kernel: string, { json }: { json?: true }) => {
      const { inspectKernel } = await import("./guest/kernel/inspect.ts");
      const { formatReport } = await import("./guest/kernel/inspect_text.ts");
      const report = await inspectKernel(kernel);
      console.log(
        json ? JSON.stringify(report, null, 2) : formatReport(report),
      );
    });
  vireo.command("prepare")
    .description("Build the guest kernel and root image.")
    .option("--all", "both kernels, and bzImages")
    .option("--export <file>", "put what is prepared into an archive")
    .option(
      "--from <where>",
      "take it from such an archive: a file, a URL, or a folder",
    )
    .addHelpText("after", PREPARE_HELP)
    .action(async (options: PrepareCommandOptions) => {
      const { prepareCommand } = await import("./cli/prepare.ts");
      await prepareCommand(options);
    });
  return vireo;
}

/** What to tell the user about a failure; undefined when commander did. */
function explain(error: unknown): string | undefined {
  if (error instanceof CommanderError) return undefined;
  if (error instanceof VireoError) return error.message;
  if (error instanceof Deno.errors.NotCapable) {
    return `${error.message.split(",")[0]}: run it with "deno run -A"`;
  }
  throw error;
}

if (import.meta.main) {
  try {
    const vireo = await program(Deno.args);
    await vireo.parseAsync(Deno.args, { from: "user" });
  } catch (error) {
    const message = explain(error);
    if (message !== undefined) console.error(`vireo: ${message}`);
    const code = error instanceof CommanderError ? error.exitCode : 1;
    Deno.exit(code);
  }
}
