/**
 * What a machine is made of, in the shape of Firecracker's `--config-file`.
 *
 * @module
 */
import type { RateLimits } from "../../devices/runtime/rate_limiter.ts";
import type { KernelEntry } from "../../guest/kernel/entry.ts";

/** What to boot. */
export interface BootSource {
  /** Path of the kernel, or its bytes. */
  kernel_image_path: string | Uint8Array;
  /**
   * Where to enter the kernel: see {@linkcode KernelEntry}. Without, what
   * suits it: the 64-bit entry of the ELF file, which is unpacked first.
   */
  entry?: KernelEntry;
  /** Path of the initial RAM disk. */
  initrd_path?: string;
  /**
   * The kernel command line; the devices are added to it. Default
   * `DEFAULT_BOOT_ARGS` of `values.ts`.
   */
  boot_args?: string;
}

/** CPUs and memory. */
export interface MachineConfig {
  /** vCPUs, 1 to 32; default 1. */
  vcpu_count?: number;
  /** RAM in MiB, 2 to 65536; default 128. */
  mem_size_mib?: number;
  /** Two threads per core, as CPUID tells it; `vcpu_count` is then even. */
  smt?: boolean;
  /**
   * Huge pages for the RAM: `Transparent` (default), wherever the host finds
   * them; `2M`, from the host's pool; `None`.
   */
  huge_pages?: "None" | "Transparent" | "2M";
  /**
   * Path of a file to share the RAM through: an address below the MMIO hole, at
   * 3 GiB, is the offset in it, and what is above 4 GiB follows. The file is
   * made if there is none, and stays.
   */
  memory_file?: string;
  /**
   * The longest time that the device worker looks for work before it sleeps,
   * in microseconds, while that pays. 0 never polls. Default 50 when
   * the host has a core to spare for it, else 0.
   */
  poll_us?: number;
  /**
   * How virtio devices are attached: `mmio`, the default, or `pci`, which the
   * kernel has to have drivers for.
   */
  transport?: "mmio" | "pci";
  /** Offer packed virtqueues (`VIRTIO_F_RING_PACKED`); default false. */
  packed_rings?: boolean;
  /**
   * How the guest finds its devices. `on`: in ACPI tables. `off`: on its
   * command line, with the processors in an MP table. Default `auto`: by
   * ACPI when the kernel has it, and `boot_args` no `acpi=off`.
   */
  acpi?: "auto" | "on" | "off";
  /**
   * Complete SYSCALLs that KVM leaves half done: for stock kernels on hosts
   * whose KVM emulates guest kernel mode, see `emulate/syscall_completion.ts`. Default
   * false.
   */
  carry_syscalls?: boolean;
}

/** A virtio block device on a raw image. */
export interface Drive {
  /** What the guest reads as the disk's serial number, at most 20 bytes. */
  drive_id: string;
  /** Path of the image or block device. */
  path_on_host: string;
  /**
   * Makes it the first disk, and adds `root=/dev/vda` and `ro` or `rw` to the
   * command line, unless that says `root=` itself. At most one drive's.
   */
  is_root_device: boolean;
  /** The partition of the root device to boot from: `root=PARTUUID=`. */
  partuuid?: string;
  /** Refuse writes, and never open the image for writing. */
  is_read_only?: boolean;
  /**
   * `Writeback`, the default: the guest's flushes reach the host's disk.
   * `Unsafe`: the guest is offered no flush.
   */
  cache_type?: "Unsafe" | "Writeback";
  /**
   * `Async`, the default: io_uring where the host has it. `Sync`: each request
   * is one blocking call.
   */
  io_engine?: "Sync" | "Async";
  /** Limits of what the guest may transfer; default none. */
  rate_limiter?: RateLimits;
  /** Bypass the host's page cache (`O_DIRECT`). */
  direct?: boolean;
  /** Request queues, 1 to 16; default 1. Linux uses one per vCPU at most. */
  queues?: number;
}

/**
 * A virtio network device. Exactly one of `host_dev_name`, `passt`, `socket`
 * and `handler` says where its frames go.
 */
export interface NetworkInterface {
  /** A name for messages. */
  iface_id: string;
  /** A TAP's name. */
  host_dev_name?: string;
  /** `02:..`; default: made from the TAP's name. */
  guest_mac?: string;
  /** The network namespace that the TAP is in (`ip netns`). */
  netns?: string;
  /**
   * Pairs of queues, 1 to 8; default 1. For more, the TAP must have been made
   * with `multi_queue`.
   */
  queues?: number;
  /**
   * Limits of what the guest receives; default none. A frame is an operation,
   * of its bytes and the 12 of its virtio header.
   */
  rx_rate_limiter?: RateLimits;
  /** The same of what it sends. */
  tx_rate_limiter?: RateLimits;
  /** Starts passt(1): the host's network without a TAP and without root. */
  passt?: boolean;
  /** Path of a Unix socket that a passt, or another of its kind, listens on. */
  socket?: string;
  /**
   * URL of a module whose default export is a {@linkcode FrameHandler}; it
   * runs on the device worker.
   */
  handler?: string;
  /** Path of a file that gets all frames, for tcpdump; replaced if there. */
  pcap?: string;
}

/** A virtio entropy device: the guest's /dev/hwrng. */
export interface Entropy {
  /** Limits of what the guest may draw; default none. */
  rate_limiter?: RateLimits;
}

/** A virtio memory balloon: takes memory back from the guest. */
export interface MemoryBalloon {
  /** MiB that the guest is to give up. */
  amount_mib: number;
  /** The guest takes pages back when it runs out of memory. */
  deflate_on_oom: boolean;
  /** Seconds between two statistics; 0, the default: none at all. */
  stats_polling_interval_s?: number;
  /** The guest gives back memory as it frees it. */
  free_page_reporting?: boolean;
  /** The guest gives back free memory when it is asked to. */
  free_page_hinting?: boolean;
}

/** Sockets between the guest and host programs. */
export interface Vsock {
  /** Means nothing; Firecracker has deprecated it. */
  vsock_id?: string;
  /** The guest's context id, 3 to 2^32 - 2. */
  guest_cid: number;
  /**
   * The Unix socket that is made for host programs: they write
   * `CONNECT <port>\n`. The guest reaches the one that listens on
   * `<uds_path>_<port>`.
   */
  uds_path: string;
}

/** A virtio console: the main console, ports with names, or both. */
export interface VirtioConsole {
  /**
   * It is the main console: what the machine prints and reads, and
   * `console=hvc0` in the default command line. Default false: the serial port
   * is. Early messages are still the serial port's.
   */
  main?: boolean;
  /** Ports: `/dev/virtio-ports/NAME` or `/dev/vport0p1` and so on. */
  ports?: ConsoleSocket[];
}

/** A port of the virtio console that ends in a Unix socket. */
export interface ConsoleSocket {
  /** Its name in the guest. */
  name: string;
  /** Where the socket is made; one client at a time may connect. */
  path: string;
}

/** A virtio device of the user's own. */
export interface CustomDevice {
  /**
   * URL of a module whose default export is a class that implements
   * {@linkcode VirtioDevice}; it is instantiated on the device worker.
   */
  module: string;
  /** Passed to the constructor: plain data. */
  options?: unknown;
}

/** A whole machine. */
export interface VmConfig {
  /** What to boot. */
  "boot-source": BootSource;
  /** CPUs and memory. */
  "machine-config"?: MachineConfig;
  /** Disks: vda, vdb, ... in this order, but the root device first. */
  drives?: Drive[];
  /** Networks: eth0, eth1, ... in this order. */
  "network-interfaces"?: NetworkInterface[];
  /** Random numbers for the guest; default: no such device. */
  entropy?: Entropy;
  /** Takes memory back from the guest; default: no such device. */
  balloon?: MemoryBalloon;
  /** Sockets between the guest and host programs. */
  vsock?: Vsock;
  /** A console beside or instead of the serial one. */
  console?: VirtioConsole;
  /** Devices of the user's own, after all others. */
  devices?: CustomDevice[];
}

/** What is wrong with where an interface's frames go, or undefined. */
export function networkConflict(network: NetworkInterface): string | undefined {
  const { host_dev_name, passt, socket, handler, netns, queues } = network;
  const ends = [host_dev_name, passt || undefined, socket, handler]
    .filter((end) => end !== undefined);
  if (ends.length !== 1) {
    return "exactly one of host_dev_name, passt, socket and handler must say " +
      "where its frames go";
  }
  if (host_dev_name !== undefined) return undefined;
  if (netns !== undefined) return "netns is for a TAP";
  if (queues !== undefined && queues > 1) return "several queues are for a TAP";
}
