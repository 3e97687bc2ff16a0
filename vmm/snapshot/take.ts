/**
 * Takes a snapshot of a machine.
 *
 * @module
 */
import type { SavedDevice } from "../../devices/virtio/device.ts";
import { VireoError } from "../../ffi/error.ts";
import { Kvm } from "../../ffi/kvm/kvm.ts";
import { Vcpu } from "../../ffi/kvm/vcpu.ts";
import { saveVcpu, type VcpuState } from "../../ffi/kvm/vcpu_state.ts";
import { savedMsrs, saveVm } from "../../ffi/kvm/vm_state.ts";
import { GuestMemory } from "../../guest/memory.ts";
import type { MachineParts } from "../build.ts";
import type { ResolvedConfig } from "../config/resolve.ts";
import type { Machine } from "../machine.ts";
import { SAVE_DEVICES } from "../device_channel.ts";
import { MemoryImage } from "./memory_image.ts";
import { copyOf, savePlatform } from "./platform.ts";
import { Snapshot } from "./snapshot.ts";

/**
 * {@linkcode Machine.snapshot}: pauses the machine if it runs, and then lets it
 * go on.
 */
export async function takeSnapshot(
  machine: Pick<Machine, "state" | "pause" | "resume">,
  config: ResolvedConfig,
  parts: MachineParts,
): Promise<Snapshot> {
  const { state } = machine;
  const runs = state === "starting" || state === "running";
  await machine.pause();
  try {
    if (machine.state === "paused") return await copy(config, parts);
    throw new VireoError(`snapshot: the machine is ${machine.state}`);
  } finally {
    if (runs) await machine.resume();
  }
}

/** Copies the state of a machine whose threads are paused. */
async function copy(
  { source, carrySyscalls }: ResolvedConfig,
  parts: MachineParts,
): Promise<Snapshot> {
  if (carrySyscalls) {
    throw new VireoError("snapshot: not with carry_syscalls");
  }
  const { "boot-source": _kernel, ...config } = source;
  const [{ start }] = parts.vcpus as [typeof parts.vcpus[0]];
  // First the devices: what they finish is in memory, and their interrupts
  // are at the controllers.
  const saved = parts.deviceStart === undefined
    ? []
    : await parts.channel.send(SAVE_DEVICES, undefined) as SavedDevice[];
  const devices = saved.map((device, i) => {
    const { pci } = parts.devices[i]!;
    return pci ? { ...device, pci: copyOf(pci) } : device;
  });
  const state = {
    config,
    acpi: parts.powerButton !== undefined,
    vcpus: vcpusOf(parts),
    vm: saveVm(parts.vmFd),
    platform: savePlatform(start),
    devices,
  };
  return new Snapshot(
    state,
    MemoryImage.of(GuestMemory.attach(start.memory)),
  );
}

function vcpusOf({ vcpus }: MachineParts): VcpuState[] {
  using kvm = new Kvm();
  const msrs = savedMsrs(kvm.fd);
  return vcpus.map(({ start }) => {
    const vcpu = new Vcpu(start.vcpuFd, start.runSize);
    using _view = vcpu.run; // the descriptor is the vCPU's thread's
    return saveVcpu(vcpu, msrs);
  });
}
