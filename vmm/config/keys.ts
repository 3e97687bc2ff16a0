/**
 * Every key of a configuration file, in one table: Firecracker's
 * (`--config-file`) and Vireo's own. To add a key, add a property to its
 * interface in `types.ts` and a row here; neither compiles without the other.
 * Then `deno run -A vmm/config/docs.ts` brings docs/configuration.md up to it.
 *
 * @module
 */
import type {
  RateLimits,
  TokenBucket,
} from "../../devices/runtime/rate_limiter.ts";
import { ENTRIES } from "../../guest/kernel/entry.ts";
import type {
  BootSource,
  ConsoleSocket,
  CustomDevice,
  Drive,
  Entropy,
  MachineConfig,
  MemoryBalloon,
  NetworkInterface,
  VirtioConsole,
  VmConfig,
  Vsock,
} from "./types.ts";
import { PORT_NAME_MAX } from "../../devices/virtio/console/console.ts";
import { BLK_QUEUES } from "../../devices/virtio/blk/config.ts";
import { MAX_VCPUS } from "../control.ts";
import { GiB, MiB } from "../../guest/layout.ts";
import { isUnicast, MAX_QUEUE_PAIRS, UNICAST } from "./mac.ts";
import {
  anyText,
  anything,
  boolean,
  file,
  fileOrBytes,
  type Filled,
  formatted,
  integer,
  type Keys,
  list,
  module,
  notYet,
  object,
  oneOf,
  optional,
  own,
  ownRequired,
  required,
  type Rule,
  text,
} from "./schema/rule.ts";

/** A number of tokens, or of milliseconds. */
const tokens = integer(0, Number.MAX_SAFE_INTEGER);

const BOOT_SOURCE: Keys<BootSource> = {
  kernel_image_path: required(fileOrBytes, "The kernel."),
  initrd_path: optional(file, "The initial RAM disk."),
  boot_args: optional(
    anyText,
    "The kernel command line. Root device and devices are added to it.",
  ),
  entry: own(
    oneOf(ENTRIES),
    "Where to enter the kernel. Default: what suits it, unpacked on the host.",
  ),
};

/** `machine-config` with its defaults. */
export type FilledMachineConfig = Filled<MachineConfig, MachineDefaults>;

type MachineDefaults =
  | "vcpu_count"
  | "mem_size_mib"
  | "smt"
  | "huge_pages"
  | "acpi"
  | "carry_syscalls"
  | "transport"
  | "packed_rings";

const MACHINE_CONFIG: Keys<MachineConfig, MachineDefaults> = {
  vcpu_count: optional(integer(1, MAX_VCPUS), "vCPUs.", 1),
  mem_size_mib: optional(integer(2, 64 * GiB / MiB), "RAM in MiB.", 128),
  smt: optional(
    boolean,
    "Two threads per core; then `vcpu_count` is 1 or even.",
    false,
  ),
  track_dirty_pages: notYet("For snapshots.", false),
  huge_pages: optional(
    oneOf(["None", "Transparent", "2M"]),
    "`Transparent`: wherever the host finds them. `2M`: from the host's pool.",
    "Transparent",
    ", where Firecracker's is `None`",
  ),
  cpu_template: notYet("A CPU to look like, such as `T2`.", "None"),
  poll_us: own(
    integer(0, 1_000_000),
    "The longest time to look for I/O before sleeping, in microseconds. " +
      "Default 50, or 0 without a core to spare.",
  ),
  memory_file: own(
    text,
    "A file to share the RAM through; made if there is none, and kept. " +
      "An address below 3 GiB is the offset in it, and what is above 4 GiB " +
      "follows.",
  ),
  acpi: own(
    oneOf(["auto", "on", "off"]),
    "The guest finds its devices by ACPI, or by its command line.",
    "auto",
    ": by ACPI when the kernel has it",
  ),
  carry_syscalls: own(
    boolean,
    "Complete SYSCALLs that KVM leaves half done: for stock kernels on hosts " +
      "whose KVM emulates guest kernel mode.",
    false,
  ),
  transport: own(
    oneOf(["mmio", "pci"]),
    "How virtio devices are attached.",
    "mmio",
  ),
  packed_rings: own(
    boolean,
    "Offer packed virtqueues (`VIRTIO_F_RING_PACKED`).",
    false,
  ),
};

const TOKEN_BUCKET: Keys<TokenBucket> = {
  size: required(tokens, "Tokens in a full bucket. 0 is no limit."),
  one_time_burst: optional(
    tokens,
    "More tokens, at the start only.",
    0,
  ),
  refill_time: required(
    tokens,
    "Milliseconds until an empty bucket is full. 0 is no limit.",
  ),
};

const RATE_LIMITER: Keys<RateLimits> = {
  bandwidth: optional(object(TOKEN_BUCKET), "A token is a byte."),
  ops: optional(object(TOKEN_BUCKET), "A token is a request, or a frame."),
};

/** A drive with its defaults. */
export type FilledDrive = Filled<Drive, DriveDefaults>;

type DriveDefaults =
  | "is_read_only"
  | "cache_type"
  | "io_engine"
  | "direct"
  | "queues";

const DRIVE: Keys<Drive, DriveDefaults> = {
  drive_id: required(text, "The disk's serial number in the guest."),
  path_on_host: required(file, "A raw image or block device."),
  is_root_device: required(
    boolean,
    "Makes it `/dev/vda`, and adds `root=` to the command line.",
  ),
  partuuid: optional(text, "`root=PARTUUID=...` instead of `root=/dev/vda`."),
  is_read_only: optional(boolean, "Never opened for writing.", false),
  cache_type: optional(
    oneOf(["Writeback", "Unsafe"]),
    "`Unsafe` offers the guest no flush.",
    "Writeback",
    ", where Firecracker's is `Unsafe`",
  ),
  io_engine: optional(
    oneOf(["Async", "Sync"]),
    "io_uring, or a blocking call per request.",
    "Async",
    ", where Firecracker's is `Sync`",
  ),
  rate_limiter: optional(
    object(RATE_LIMITER),
    "Limits of what the guest may transfer. Default none.",
  ),
  socket: notYet("A vhost-user backend."),
  direct: own(boolean, "Bypass the host's page cache.", false),
  queues: own(integer(1, BLK_QUEUES), "Request queues.", 1),
};

/** A network interface with its defaults. */
export type FilledNetworkInterface = Filled<NetworkInterface, NetDefaults>;

type NetDefaults = "queues" | "passt";

const NETWORK_INTERFACE: Keys<NetworkInterface, NetDefaults> = {
  iface_id: required(text, "A name for messages."),
  host_dev_name: optional(
    text,
    "The TAP; or one of `passt`, `socket` and `handler`.",
  ),
  guest_mac: optional(
    formatted("a MAC address", UNICAST, isUnicast),
    "Default: made from the TAP's name.",
  ),
  mtu: notYet("The MTU that the guest is told."),
  rx_rate_limiter: optional(
    object(RATE_LIMITER),
    "Limits of what the guest receives. Default none.",
  ),
  tx_rate_limiter: optional(
    object(RATE_LIMITER),
    "Limits of what the guest sends. Default none.",
  ),
  netns: own(text, "The network namespace that the TAP is in (`ip netns`)."),
  queues: own(
    integer(1, MAX_QUEUE_PAIRS),
    "Pairs of queues; for more than one, the TAP was made with " +
      "`multi_queue`.",
    1,
  ),
  passt: own(boolean, "Starts passt: no TAP, no root.", false),
  socket: own(text, "A Unix socket that a passt listens on."),
  handler: own(
    module,
    "Its default export is a function that gets each frame and may answer.",
  ),
  pcap: own(text, "A file that gets all frames, for tcpdump."),
};

const ENTROPY: Keys<Entropy> = {
  rate_limiter: optional(
    object(RATE_LIMITER),
    "Limits of what the guest may draw. Default none.",
  ),
};

/** A balloon with its defaults. */
export type FilledBalloon = Filled<MemoryBalloon, BalloonDefaults>;

type BalloonDefaults =
  | "stats_polling_interval_s"
  | "free_page_reporting"
  | "free_page_hinting";

const BALLOON_KEYS: Keys<MemoryBalloon, BalloonDefaults> = {
  amount_mib: required(
    integer(0, 64 * GiB / MiB),
    "MiB that the guest is to give up.",
  ),
  deflate_on_oom: required(
    boolean,
    "The guest takes pages back when it runs out of memory.",
  ),
  stats_polling_interval_s: optional(
    integer(0, 65535),
    "Seconds between two statistics.",
    0,
    ": none at all",
  ),
  free_page_reporting: optional(
    boolean,
    "The guest gives back memory as it frees it.",
    false,
  ),
  free_page_hinting: optional(
    boolean,
    "The guest gives back free memory when asked to.",
    false,
  ),
};

const VSOCK: Keys<Vsock> = {
  vsock_id: optional(text, "Means nothing; Firecracker has deprecated it."),
  guest_cid: required(
    integer(3, 4_294_967_294),
    "The guest's context id.",
  ),
  uds_path: required(
    text,
    "The Unix socket that is made for host programs. The guest reaches those " +
      "that listen on this path, `_`, and a port.",
  ),
};

const CONSOLE_SOCKET: Keys<ConsoleSocket> = {
  name: ownRequired(
    formatted(
      "text",
      `a name of 1 to ${PORT_NAME_MAX} bytes without a slash`,
      isPortName,
    ),
    "Its name in the guest.",
  ),
  path: ownRequired(text, "Where the Unix socket is made."),
};

function isPortName(name: string): boolean {
  const bytes = new TextEncoder().encode(name).length;
  return bytes <= PORT_NAME_MAX && !/[/\0]/.test(name);
}

/** A virtio console with its defaults. */
export type FilledConsole = Filled<VirtioConsole, ConsoleDefaults>;

type ConsoleDefaults = "main" | "ports";

const CONSOLE_KEYS: Keys<VirtioConsole, ConsoleDefaults> = {
  main: own(
    boolean,
    "It is the main console, `hvc0`.",
    false,
    ": the serial port is",
  ),
  ports: own(
    list(object(CONSOLE_SOCKET)),
    "Ports, which end in Unix sockets on the host.",
    [],
  ),
};

const CUSTOM_DEVICE: Keys<CustomDevice> = {
  module: ownRequired(module, "Its default export is the device's class."),
  options: own(anything, "Passed to the constructor."),
};

/** `machine-config`. */
export const MACHINE = object<MachineConfig, MachineDefaults>(MACHINE_CONFIG);
/** `drives`. */
export const DRIVES = list(object<Drive, DriveDefaults>(DRIVE));
/** `network-interfaces`. */
export const NETWORKS = list(
  object<NetworkInterface, NetDefaults>(NETWORK_INTERFACE),
);
/** `balloon`. */
export const BALLOON = object<MemoryBalloon, BalloonDefaults>(BALLOON_KEYS);
/** `console`. */
export const CONSOLE = object<VirtioConsole, ConsoleDefaults>(CONSOLE_KEYS);

/** A whole file. */
export const CONFIG_FILE: Rule<VmConfig> = object<VmConfig>({
  "boot-source": required(object(BOOT_SOURCE), "What to boot."),
  "machine-config": optional(MACHINE, "CPUs and memory."),
  drives: optional(DRIVES, "Disks, at `/dev/vda` and so on."),
  "network-interfaces": optional(NETWORKS, "Networks, `eth0` and so on."),
  vsock: optional(object(VSOCK), "Sockets between host and guest."),
  balloon: optional(BALLOON, "Takes memory back from the guest."),
  entropy: optional(object(ENTROPY), "Random numbers for the guest."),
  pmem: notYet("Disks as memory."),
  "memory-hotplug": notYet("Memory that comes and goes."),
  "cpu-config": notYet("Changes to CPUID and MSRs."),
  logger: notYet("Vireo logs to standard error."),
  metrics: notYet("Counters in a file."),
  "mmds-config": notYet("Data for the guest over HTTP."),
  serial: notYet("The console's output in a file."),
  console: own(CONSOLE, "A virtio console."),
  devices: own(list(object(CUSTOM_DEVICE)), "Devices of your own."),
});
