/**
 * The bodies of requests, each with its keys in the order that messages name
 * them in.
 *
 * @module
 */
import { CPUID_REGISTERS } from "../../guest/boot/cpu_template.ts";
import { levelMeant, LEVELS } from "../log.ts";
import { BodyError } from "./reader.ts";
import {
  any,
  bool,
  changing,
  list,
  may,
  must,
  or,
  type Shape,
  string,
  struct,
  u16,
  u32,
  u64,
  u8,
  usize,
  variant,
} from "./shape.ts";

/** What a shape reads. */
export type Body<S> = S extends Shape<infer T> ? T : never;

const tokenBucket = struct("TokenBucketConfig", {
  size: must(u64),
  one_time_burst: may(u64),
  refill_time: must(u64),
}, { open: true });

const rateLimiter = struct("RateLimiterConfig", {
  bandwidth: may(tokenBucket),
  ops: may(tokenBucket),
});

/** Limits, as a request says them. */
export type RateLimiterBody = Body<typeof rateLimiter>;

/** Static templates: their names are known, and refused. */
const cpuTemplate = variant(["C3", "T2", "T2S", "T2CL", "T2A", "V1N1", "None"]);
const hugePages = variant(["None", "Transparent", "2M"]);

/** `PUT /machine-config` */
export const machineConfig = struct("MachineConfig", {
  vcpu_count: must(u8),
  mem_size_mib: must(usize),
  smt: or(bool, false),
  cpu_template: may(cpuTemplate),
  track_dirty_pages: or(bool, false),
  huge_pages: or(hugePages, "None"),
});

/** `PATCH /machine-config` */
export const machineUpdate = changing(struct("MachineConfigUpdate", {
  vcpu_count: may(u8),
  mem_size_mib: may(usize),
  smt: may(bool),
  cpu_template: may(cpuTemplate),
  track_dirty_pages: may(bool),
  huge_pages: may(hugePages),
}));

/** `PUT /cpu-config` */
export const cpuConfig = struct("CustomCpuTemplate", {
  kvm_capabilities: or(list(string), []),
  cpuid_modifiers: or(
    list(
      struct("CpuidLeafModifier", {
        leaf: must(string),
        subleaf: must(string),
        flags: must(u32),
        modifiers: must(
          list(
            struct("CpuidRegisterModifier", {
              register: must(variant(CPUID_REGISTERS)),
              bitmap: must(string),
            }, { open: true }),
          ),
        ),
      }, { open: true }),
    ),
    [],
  ),
  msr_modifiers: or(
    list(
      struct("RegisterModifier", {
        addr: must(string),
        bitmap: must(string),
      }, { open: true }),
    ),
    [],
  ),
});

/** `PUT /boot-source` */
export const bootSource = struct("BootSourceConfig", {
  kernel_image_path: must(string),
  initrd_path: may(string),
  boot_args: may(string),
});

/** `PUT /drives/ID` */
export const drive = struct("BlockDeviceConfig", {
  drive_id: must(string),
  partuuid: may(string),
  is_root_device: must(bool),
  cache_type: or(variant(["Unsafe", "Writeback"]), "Unsafe"),
  is_read_only: may(bool),
  path_on_host: may(string),
  rate_limiter: may(rateLimiter),
  io_engine: may(variant(["Sync", "Async"])),
  socket: may(string),
});

/** `PATCH /drives/ID` */
export const driveUpdate = struct("BlockDeviceUpdateConfig", {
  drive_id: must(string),
  path_on_host: may(string),
  rate_limiter: may(rateLimiter),
});

/** `PUT /network-interfaces/ID` */
export const network = struct("NetworkInterfaceConfig", {
  iface_id: must(string),
  host_dev_name: must(string),
  guest_mac: may(string),
  mtu: may(u16),
  rx_rate_limiter: may(rateLimiter),
  tx_rate_limiter: may(rateLimiter),
});

/** `PATCH /network-interfaces/ID` */
export const networkUpdate = struct("NetworkInterfaceUpdateConfig", {
  iface_id: must(string),
  rx_rate_limiter: may(rateLimiter),
  tx_rate_limiter: may(rateLimiter),
});

/** `PUT /vsock` */
export const vsock = struct("VsockDeviceConfig", {
  vsock_id: may(string),
  guest_cid: must(u32),
  uds_path: must(string),
});

/** `PUT /entropy` */
export const entropy = struct("EntropyDeviceConfig", {
  rate_limiter: may(rateLimiter),
});

/** `PUT /serial` */
export const serial = struct("SerialConfig", {
  serial_out_path: may(string),
  rate_limiter: may(tokenBucket),
});

/** `PUT /balloon` */
export const balloon = struct("BalloonDeviceConfig", {
  amount_mib: must(u32),
  deflate_on_oom: must(bool),
  stats_polling_interval_s: or(u16, 0),
  free_page_hinting: or(bool, false),
  free_page_reporting: or(bool, false),
});

/** `PATCH /balloon` */
export const balloonUpdate = struct("BalloonUpdateConfig", {
  amount_mib: must(u32),
});

/** `PATCH /balloon/statistics` */
export const balloonStatistics = struct("BalloonUpdateStatsConfig", {
  stats_polling_interval_s: must(u16),
});

/** `PATCH /balloon/hinting/start` */
export const balloonHinting = struct("StartHintingCmd", {
  acknowledge_on_stop: or(bool, true),
});

/** `PUT /logger` */
export const logger = struct("LoggerConfig", {
  log_path: may(string),
  level: may(variant(LEVELS, levelMeant)),
  show_level: may(bool),
  show_log_origin: may(bool),
  module: may(string),
});

/** `PUT /metrics` */
export const metrics = struct("MetricsConfig", {
  metrics_path: must(string),
  emit_id: or(bool, false),
  properties: may(any),
}, { open: true });

/** `PUT /mmds/config` */
export const mmdsConfig = struct("MmdsConfig", {
  version: or(variant(["V1", "V2"]), "V1"),
  network_interfaces: must(list(string)),
  ipv4_address: may(string),
  imds_compat: or(bool, false),
});

/** `PUT /actions` */
export const action = struct("ActionBody", {
  action_type: must(
    variant(["FlushMetrics", "InstanceStart", "SendCtrlAltDel"]),
  ),
});

/** `PATCH /vm` */
export const vm = struct("Vm", {
  state: must(variant(["Paused", "Resumed"])),
});

/** `PUT /snapshot/create` */
export const snapshotCreate = struct("CreateSnapshotParams", {
  snapshot_type: or(variant(["Diff", "Full"]), "Full"),
  snapshot_path: must(string),
  mem_file_path: must(string),
});

const snapshotLoadKeys = struct("LoadSnapshotConfig", {
  snapshot_path: must(string),
  mem_backend: may(
    struct("MemBackendConfig", {
      backend_path: must(string),
      backend_type: must(variant(["File", "Uffd"])),
    }),
  ),
  mem_file_path: may(string),
  enable_diff_snapshots: or(bool, false),
  track_dirty_pages: or(bool, false),
  resume_vm: or(bool, false),
  network_overrides: or(
    list(
      struct("NetworkOverride", {
        iface_id: must(string),
        host_dev_name: must(string),
      }, { open: true }),
    ),
    [],
  ),
  vsock_override: may(
    struct("VsockOverride", { uds_path: must(string) }, { open: true }),
  ),
  clock_realtime: or(bool, false),
  huge_pages: or(
    variant(["Snapshot", "None", "Transparent", "2M"]),
    "Snapshot",
  ),
});

/** `PUT /snapshot/load` */
export const snapshotLoad: Shape<Body<typeof snapshotLoadKeys>> = {
  schema: snapshotLoadKeys.schema,
  read(json) {
    const load = snapshotLoadKeys.read(json);
    const { mem_backend, mem_file_path } = load;
    const given = [mem_backend, mem_file_path].filter((way) => way);
    const both = "`mem_backend` or `mem_file_path`";
    if (given.length === 0) {
      throw new BodyError(`missing field: either ${both} is required`);
    }
    if (given.length === 2) {
      throw new BodyError(
        `too many fields: either ${both} exclusively is required`,
      );
    }
    return load;
  },
};

/** What machines are asked to be. */
export type MachineBody = Body<typeof machineConfig>;
/** A disk. */
export type DriveBody = Body<typeof drive>;
/** A network interface. */
export type NetworkBody = Body<typeof network>;
/** Sockets. */
export type VsockBody = Body<typeof vsock>;
/** A balloon. */
export type BalloonBody = Body<typeof balloon>;
/** What to boot. */
export type BootBody = Body<typeof bootSource>;
/** A snapshot to go on from. */
export type LoadBody = Body<typeof snapshotLoad>;
/** A snapshot to make. */
export type CreateBody = Body<typeof snapshotCreate>;
/** Where the metadata service is. */
export type MmdsConfigBody = Body<typeof mmdsConfig>;
/** The serial port's other end. */
export type SerialBody = Body<typeof serial>;
