/**
 * Takes a snapshot of a machine that doesn't run.
 *
 * @module
 */
import type { SavedDevice } from "../../devices/virtio/device.ts";
import { VireoError } from "../../ffi/error.ts";
import { Kvm } from "../../ffi/kvm/kvm.ts";
import { Vcpu } from "../../ffi/kvm/vcpu.ts";
import { saveVcpu, type VcpuState } from "../../ffi/kvm/vcpu_state.ts";
import { savedMsrs, saveVm } from "../../ffi/kvm/vm_state.ts";
import type { MachineParts } from "../build.ts";
import type { ResolvedConfig } from "../config/resolve.ts";
import { sendToAll } from "./devices.ts";
import { copyOf, savePlatform } from "./platform.ts";
import { baseOf, copyRam, imageOf } from "./ram.ts";
import { Snapshot } from "./snapshot.ts";

/** How to take a snapshot. */
export interface SnapshotOptions {
  /**
   * The machine's RAM is mapped over this snapshot's, so that later snapshots,
   * forks and resets copy only what was written since. Default false: pages
   * that the guest writes from now on would cost it a fault each.
   */
  base?: boolean;
}

/** Copies the state of a machine whose threads are paused. */
export async function takeSnapshot(
  parts: MachineParts,
  { source, carrySyscalls }: ResolvedConfig,
  { base = false }: SnapshotOptions,
): Promise<Snapshot> {
  if (carrySyscalls) {
    throw new VireoError("snapshot: not with carry_syscalls");
  }
  const { "boot-source": _kernel, ...config } = source;
  // First the devices: what they finish is in memory, and their interrupts
  // are at the controllers.
  const saved = await sendToAll(parts, { type: "save" }) as SavedDevice[];
  const devices = saved.map((device, i) => {
    const { pci } = parts.devices[i]!;
    return pci ? { ...device, pci: copyOf(pci) } : device;
  });
  const state = {
    config,
    acpi: parts.acpi,
    vcpus: vcpusOf(parts),
    vm: saveVm(parts.vmFd),
    platform: savePlatform(parts.vcpus[0]!.start),
    devices,
  };
  const lay = imageOf(parts);
  const memory = base ? baseOf(parts) : copyRam(parts);
  if (imageOf(parts) !== lay) await sendToAll(parts, { type: "over-image" });
  return new Snapshot(state, memory);
}

/** The host's, which stay the same. */
let msrs: readonly number[] | undefined;

function knownMsrs(): readonly number[] {
  using kvm = new Kvm();
  return savedMsrs(kvm.fd);
}

function vcpusOf({ vcpus }: MachineParts): VcpuState[] {
  const indices = msrs ??= knownMsrs();
  return vcpus.map(({ start }) => {
    const vcpu = new Vcpu(start.vcpuFd, start.runSize);
    using _view = vcpu.run; // the descriptor is the vCPU's thread's
    return saveVcpu(vcpu, indices);
  });
}
