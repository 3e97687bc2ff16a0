/**
 * The machine as requests have described it so far.
 *
 * @module
 */
import type {
  BalloonBody,
  Body,
  BootBody,
  DriveBody,
  entropy,
  MachineBody,
  MmdsConfigBody,
  NetworkBody,
  RateLimiterBody,
  SerialBody,
  VsockBody,
} from "../body/shapes.ts";
import type { CpuConfig } from "../../guest/boot/cpu_template.ts";
import type { RateLimits } from "../../devices/runtime/rate_limiter.ts";
import type { VmConfig } from "../../vmm/config/types.ts";
import type {
  Drive,
  MetadataService,
  NetworkInterface,
} from "../../vmm/devices/mod.ts";

import { indexOf, mergedParts } from "./merged.ts";

/** The command line of a kernel that gets none, as Firecracker has it. */
const BOOT_ARGS = "reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux " +
  "i8042.nomux i8042.dumbkbd swiotlb=noforce";

/** In the place of a kernel, while there is none. */
const NO_KERNEL = { kernel_image_path: new Uint8Array() };

/** What requests have said. */
export class Draft {
  machine: MachineBody = {
    vcpu_count: 1,
    mem_size_mib: 128,
    smt: false,
    cpu_template: undefined,
    track_dirty_pages: false,
    huge_pages: "None",
  };
  boot: BootBody | undefined;
  drives: DriveBody[] = [];
  networks: NetworkBody[] = [];
  vsock: VsockBody | undefined;
  balloon: BalloonBody | undefined;
  entropy: Body<typeof entropy> | undefined;
  serial: SerialBody | undefined;
  mmds: MmdsConfigBody | undefined;
  cpu: CpuConfig | undefined;
  /** What Firecracker's requests have no words for; it goes over the rest. */
  own: Partial<VmConfig> = {};

  /** Something of the machine itself was said: it can't come from a snapshot. */
  touched = false;

  /** The same, to be changed. */
  copy(): Draft {
    return Object.assign(new Draft(), this, {
      drives: [...this.drives],
      networks: [...this.networks],
    });
  }

  /** In the words of Vireo's configuration. */
  config(pci: boolean): VmConfig {
    return mergedParts(this.#described(pci), this.own) as VmConfig;
  }

  /** What Firecracker's requests say. */
  #described(pci: boolean): VmConfig {
    const { vcpu_count, mem_size_mib, smt, huge_pages } = this.machine;
    return {
      "boot-source": this.boot ? bootSource(this.boot, pci) : NO_KERNEL,
      "machine-config": {
        ...{ vcpu_count, mem_size_mib, smt, huge_pages },
        transport: pci ? "pci" : "mmio",
      },
      ...(this.cpu && { "cpu-config": this.cpu }),
      drives: this.drives.map(driveConfig),
      "network-interfaces": this.networks.map((network) => ({
        ...networkConfig(network),
        ...this.#service(network),
      })),
      ...(this.vsock && { vsock: vsockConfig(this.vsock) }),
      ...(this.balloon && { balloon: this.balloon }),
      ...(this.entropy && {
        entropy: { ...limits("rate_limiter", this.entropy.rate_limiter) },
      }),
    };
  }

  /** A disk or an interface, with what is Vireo's own. */
  device<T extends Drive | NetworkInterface>(
    key: "drives" | "network-interfaces",
    device: T,
  ): T {
    const own = this.own[key] ?? [];
    const index = indexOf(own, device);
    return index < 0 ? device : mergedParts(device, own[index]) as T;
  }

  /** The metadata service on an interface. */
  #service({ iface_id }: NetworkBody): { mmds?: MetadataService } {
    if (!this.mmds?.network_interfaces.includes(iface_id)) return {};
    const { version, ipv4_address, imds_compat } = this.mmds;
    return {
      mmds: { version, imds_compat, ...(ipv4_address && { ipv4_address }) },
    };
  }

  /** What `GET /vm/config` tells. */
  describe(): unknown {
    const nulls = { rate_limiter: null };
    return {
      balloon: this.balloon ?? null,
      drives: this.drives.map((drive) => ({
        drive_id: drive.drive_id,
        partuuid: drive.partuuid ?? null,
        is_root_device: drive.is_root_device,
        cache_type: drive.cache_type,
        is_read_only: drive.is_read_only ?? false,
        path_on_host: drive.path_on_host ?? null,
        rate_limiter: limiterText(drive.rate_limiter),
        io_engine: drive.io_engine ?? "Sync",
        socket: null,
      })),
      "boot-source": this.boot
        ? { ...{ initrd_path: null, boot_args: null }, ...defined(this.boot) }
        : null,
      "cpu-config": null,
      logger: null,
      "machine-config": machineText(this.machine),
      metrics: null,
      "mmds-config": this.mmds ? mmdsText(this.mmds) : null,
      "network-interfaces": this.networks.map((network) => ({
        iface_id: network.iface_id,
        host_dev_name: network.host_dev_name,
        guest_mac: network.guest_mac ?? null,
        mtu: network.mtu ?? null,
        rx_rate_limiter: limiterText(network.rx_rate_limiter),
        tx_rate_limiter: limiterText(network.tx_rate_limiter),
      })),
      vsock: this.vsock
        ? { guest_cid: this.vsock.guest_cid, uds_path: this.vsock.uds_path }
        : null,
      entropy: this.entropy ? { ...nulls, ...defined(this.entropy) } : null,
      pmem: [],
      "memory-hotplug": null,
    };
  }
}

/** What `GET /machine-config` tells. */
export function machineText(machine: MachineBody): unknown {
  const { cpu_template, ...rest } = machine;
  return { ...rest, ...(cpu_template !== undefined && { cpu_template }) };
}

function mmdsText(mmds: MmdsConfigBody): unknown {
  const { version, network_interfaces, ipv4_address, imds_compat } = mmds;
  return {
    ...{ version, network_interfaces },
    ipv4_address: ipv4_address ?? "169.254.169.254",
    imds_compat,
  };
}

function limiterText(limits: RateLimiterBody | undefined): unknown {
  if (limits === undefined) return null;
  return { bandwidth: limits.bandwidth ?? null, ops: limits.ops ?? null };
}

function bootSource(boot: BootBody, pci: boolean): VmConfig["boot-source"] {
  const { kernel_image_path, initrd_path, boot_args = BOOT_ARGS } = boot;
  return {
    kernel_image_path,
    ...(initrd_path !== undefined && { initrd_path }),
    // As there: to whatever the client says itself, too.
    boot_args: pci ? boot_args : `${boot_args} pci=off`,
  };
}

/** A disk in the words of Vireo's configuration. */
export function driveConfig(drive: DriveBody): Drive {
  const { drive_id, is_root_device, cache_type, partuuid } = drive;
  return {
    ...{ drive_id, is_root_device, cache_type },
    path_on_host: drive.path_on_host ?? "",
    is_read_only: drive.is_read_only ?? false,
    io_engine: drive.io_engine ?? "Sync",
    ...(partuuid !== undefined && { partuuid }),
    ...limits("rate_limiter", drive.rate_limiter),
  };
}

/** A network interface in the words of Vireo's configuration. */
export function networkConfig(network: NetworkBody): NetworkInterface {
  const { iface_id, host_dev_name, guest_mac, mtu } = network;
  return {
    ...{ iface_id, host_dev_name },
    ...(mtu !== undefined && { mtu }),
    ...(guest_mac !== undefined && { guest_mac }),
    ...limits("rx_rate_limiter", network.rx_rate_limiter),
    ...limits("tx_rate_limiter", network.tx_rate_limiter),
  };
}

function vsockConfig({ guest_cid, uds_path }: VsockBody) {
  return { guest_cid, uds_path };
}

function limits<K extends string>(
  key: K,
  body: RateLimiterBody | undefined,
): { [_ in K]?: RateLimits } {
  if (body === undefined) return {};
  return { [key]: limitsOf(body) } as { [_ in K]?: RateLimits };
}

/** Limits in the words of Vireo's configuration. */
export function limitsOf({ bandwidth, ops }: RateLimiterBody): RateLimits {
  return {
    ...(bandwidth && { bandwidth: bucket(bandwidth) }),
    ...(ops && { ops: bucket(ops) }),
  };
}

/** Limits after an update: what that says nothing of stays. */
export function merged(
  old: RateLimiterBody | undefined,
  update: RateLimiterBody | undefined,
): RateLimiterBody | undefined {
  if (old === undefined || update === undefined) return update ?? old;
  return {
    bandwidth: update.bandwidth ?? old.bandwidth,
    ops: update.ops ?? old.ops,
  };
}

function bucket(
  { size, refill_time, one_time_burst }: NonNullable<
    RateLimiterBody["bandwidth"]
  >,
) {
  // Numbers beyond these are no limits, either.
  const safe = (tokens: number) => Math.min(tokens, Number.MAX_SAFE_INTEGER);
  return {
    ...{ size: safe(size), refill_time: safe(refill_time) },
    one_time_burst: safe(one_time_burst ?? 0),
  };
}

/** Without what is undefined. */
function defined<T extends object>(value: T): Partial<T> {
  const entries = Object.entries(value).filter(([, v]) => v !== undefined);
  return Object.fromEntries(entries) as Partial<T>;
}
