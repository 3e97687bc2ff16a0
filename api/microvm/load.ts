/**
 * A machine that goes on from a snapshot.
 *
 * @module
 */
import type { ForkBody } from "../body/own_shapes.ts";
import type { LoadBody } from "../body/shapes.ts";
import { VireoError } from "../../ffi/error.ts";
import { resolve } from "../../vmm/config/resolve.ts";
import type { VmConfig } from "../../vmm/config/types.ts";
import type { NetworkInterface } from "../../vmm/devices/mod.ts";
import { RestoreAs } from "../../vmm/snapshot/restore.ts";
import { Snapshot } from "../../vmm/snapshot/snapshot.ts";
import { checkGiven } from "../../vmm/snapshot/trust.ts";
import { Draft } from "./draft.ts";
import type { MicroVm } from "./microvm.ts";
import { textOf } from "./texts.ts";
import { openFiles } from "./snapshot_files.ts";

/** In its memory there is a kernel already. */
const NO_KERNEL = { kernel_image_path: new Uint8Array() };

/**
 * Makes a machine of a snapshot; it is paused, unless it is to be resumed.
 *
 * @throws {Error} it can't be
 */
export async function load(vm: MicroVm, body: LoadBody): Promise<void> {
  const { mem_backend, huge_pages } = body;
  const onDemand = mem_backend?.backend_type === "Uffd";
  const memory = mem_backend?.backend_path ?? body.mem_file_path!;
  using opened = openFiles(
    body.snapshot_path,
    onDemand ? undefined : memory,
  );
  const { snapshot } = opened;
  // What it names on the host is taken on the client's word; but no code.
  checkGiven(snapshot.state, {}, true);
  await goOn(vm, snapshot, {
    ...body,
    drive_overrides: [],
    huge_pages: huge_pages === "Snapshot" ? undefined : huge_pages,
    pages: onDemand ? { socket: memory } : undefined,
  });
  const tracks = body.track_dirty_pages || body.enable_diff_snapshots;
  if (!tracks || onDemand) return;
  const { state, memory: image, sha256 } = snapshot;
  vm.since = new Snapshot(state, image.share(), sha256);
}

/** How a machine goes on, and what it has otherwise. */
export interface GoOn extends
  Pick<
    LoadBody,
    "network_overrides" | "vsock_override"
  > {
  drive_overrides: ForkBody["drive_overrides"];
  track_dirty_pages?: boolean;
  huge_pages?: "None" | "Transparent" | "2M" | undefined;
  /** Its clock moves on by the time since. */
  clock_realtime?: boolean;
  /** Where its memory comes from; undefined: from the snapshot. */
  pages?: { socket: string } | undefined;
  /** It runs, and doesn't begin paused; default: it does. */
  resume_vm?: boolean;
}

/**
 * Makes a machine of an open snapshot.
 *
 * @throws {Error} it can't be
 */
export async function goOn(
  vm: MicroVm,
  snapshot: Snapshot,
  how: GoOn,
): Promise<void> {
  const { pages, clock_realtime, resume_vm = true } = how;
  const config = overridden(snapshot.state.config, how);
  const resolved = resolve(
    { ...config, "boot-source": NO_KERNEL },
    ([finding]) => finding && textOf(finding),
  );
  const draft = draftOf(config, vm.draft);
  draft.machine.track_dirty_pages = how.track_dirty_pages ?? false;
  vm.become(draft);
  vm.held.give(resolved);
  await vm.run(
    resolved,
    (Machine, options) =>
      Machine.restore(snapshot, new RestoreAs(resolved), {
        ...options,
        ...(clock_realtime && { clock: "catch-up" }),
        ...(pages && { pages }),
      }),
    !resume_vm,
  );
}

type SavedConfig = Omit<VmConfig, "boot-source">;

function overridden(config: SavedConfig, how: GoOn): SavedConfig {
  const { network_overrides, vsock_override, huge_pages } = how;
  const drives = config.drives?.map((drive) => ({
    ...drive,
    ...how.drive_overrides.find(({ drive_id }) => drive_id === drive.drive_id),
  }));
  const networks = config["network-interfaces"]?.map((network) => ({
    ...network,
  })) ?? [];
  for (const { iface_id, host_dev_name } of network_overrides) {
    const network = networks.find((one) => one.iface_id === iface_id);
    if (network === undefined) {
      throw new VireoError(`the snapshot has no network device ${iface_id}`);
    }
    network.host_dev_name = host_dev_name;
  }
  const { vsock } = config;
  if (vsock_override !== undefined && vsock === undefined) {
    throw new VireoError("the snapshot has no vsock device");
  }
  return {
    ...config,
    ...(drives && { drives }),
    "network-interfaces": networks,
    ...(vsock && { vsock: { ...vsock, ...vsock_override } }),
    ...(huge_pages && {
      "machine-config": { ...config["machine-config"], huge_pages },
    }),
  };
}

/** What requests would have said. */
function draftOf(config: SavedConfig, before: Draft): Draft {
  const draft = before.copy();
  const machine = config["machine-config"] ?? {};
  draft.machine = {
    ...new Draft().machine,
    ...{ vcpu_count: machine.vcpu_count ?? 1 },
    mem_size_mib: machine.mem_size_mib ?? 128,
    smt: machine.smt ?? false,
    huge_pages: machine.huge_pages ?? "None",
  };
  // Those of Vireo's own have no words here.
  const { drives = [], "network-interfaces": networks = [] } = config;
  draft.drives = drives.filter((drive) => drive.path_on_host !== undefined).map(
    (drive) => ({
      drive_id: drive.drive_id,
      partuuid: drive.partuuid,
      is_root_device: drive.is_root_device,
      cache_type: drive.cache_type ?? "Writeback",
      is_read_only: drive.is_read_only,
      path_on_host: drive.path_on_host,
      rate_limiter: limiter(drive.rate_limiter),
      io_engine: drive.io_engine === "Sync" ? "Sync" : "Async",
      socket: undefined,
    }),
  );
  draft.networks = networks.filter((network) =>
    network.host_dev_name !== undefined
  ).map((network) => ({
    iface_id: network.iface_id,
    host_dev_name: network.host_dev_name ?? "",
    guest_mac: network.guest_mac,
    mtu: network.mtu,
    rx_rate_limiter: limiter(network.rx_rate_limiter),
    tx_rate_limiter: limiter(network.tx_rate_limiter),
  }));
  draft.mmds = serviceOf(networks);
  const { vsock, balloon, entropy } = config;
  draft.vsock = vsock && { vsock_id: undefined, ...vsock };
  draft.balloon = balloon && {
    stats_polling_interval_s: 0,
    free_page_hinting: false,
    free_page_reporting: false,
    ...balloon,
  };
  draft.entropy = entropy && { rate_limiter: limiter(entropy.rate_limiter) };
  draft.touched = true;
  return draft;
}

/** Where the metadata service was; its data is not saved. */
function serviceOf(networks: NetworkInterface[]): Draft["mmds"] {
  const linked = networks.filter(({ mmds }) => mmds !== undefined);
  const { mmds } = linked[0] ?? {};
  return mmds && {
    version: mmds.version ?? "V2",
    network_interfaces: linked.map(({ iface_id }) => iface_id),
    ipv4_address: mmds.ipv4_address,
    imds_compat: mmds.imds_compat ?? false,
  };
}

type Limits = NonNullable<VmConfig["drives"]>[number]["rate_limiter"];

function limiter(limits: Limits) {
  const bucket = (one: NonNullable<Limits>["ops"]) =>
    one && { one_time_burst: undefined, ...one };
  return limits &&
    { bandwidth: bucket(limits.bandwidth), ops: bucket(limits.ops) };
}
