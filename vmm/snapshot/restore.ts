/**
 * Makes the parts of a machine go on as a snapshot says, before its threads
 * begin.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { Vcpu } from "../../ffi/kvm/vcpu.ts";
import { restoreVcpu } from "../../ffi/kvm/vcpu_state.ts";
import { restoreVm } from "../../ffi/kvm/vm_state.ts";
import type { MachineParts } from "../build.ts";
import { resolve, type ResolvedConfig } from "../config/resolve.ts";
import type { VmConfig } from "../config/types.ts";
import { restorePlatform } from "./platform.ts";
import type { Snapshot } from "./snapshot.ts";

/** What is to be otherwise: keys of the configuration, devices by their names. */
export type Overrides = Partial<Omit<VmConfig, "boot-source">>;

/** There is a kernel in the memory already. */
const NO_KERNEL = { kernel_image_path: new Uint8Array() };

/**
 * The configuration that a snapshot's machine is made of.
 *
 * @throws {VireoError} it can't be had any more: each mistake in a line
 */
export function restoredConfig(
  { state }: Snapshot,
  overrides: Overrides = {},
): ResolvedConfig {
  const config: Record<string, unknown> = { ...state.config };
  for (const [key, value] of Object.entries(overrides)) {
    config[key] = overridden(config[key], value, key);
  }
  const resolved = resolve({ ...config, "boot-source": NO_KERNEL });
  return { ...resolved, acpi: state.acpi };
}

/** In a list, who has a name that is there already replaces that. */
function overridden(saved: unknown, value: unknown, key: string): unknown {
  if (!Array.isArray(value)) {
    return { ...(saved as object), ...value as object };
  }
  const named = Array.isArray(saved) ? [...saved] : [];
  for (const item of value) {
    const name = nameOf(item);
    const index = named.findIndex((other) => nameOf(other) === name);
    if (index < 0) {
      throw new VireoError(`${key}: the snapshot has no ${name}`);
    }
    named[index] = { ...named[index], ...item };
  }
  return named;
}

function nameOf(item: Record<string, unknown>): unknown {
  return item["drive_id"] ?? item["iface_id"] ?? item["module"];
}

/**
 * Fills memory, vCPUs, interrupt controllers and devices in.
 *
 * @throws {VireoError} the parts are not those of the snapshot's machine, or
 *   KVM refuses its state
 */
export function restoreParts(parts: MachineParts, snapshot: Snapshot): void {
  const { state, memory } = snapshot;
  const [{ start }] = parts.vcpus as [typeof parts.vcpus[0]];
  if (
    state.vcpus.length !== parts.vcpus.length ||
    state.devices.length !== parts.devices.length
  ) {
    throw new VireoError("snapshot: saved with other vCPUs or devices");
  }
  if (start.memory.some(({ shared, pooled }) => shared || pooled)) {
    throw new VireoError(
      "snapshot: not with memory_file or huge pages of the pool",
    );
  }
  memory.mapOver(start.memory);
  // What the guest gives back would show the file behind it: it is kept.
  for (const region of start.memory) region.pooled = true;
  restorePlatform(start, state.platform);
  parts.devices.forEach((device, i) => device.saved = state.devices[i]!);
  restoreVm(parts.vmFd, state.vm);
  parts.vcpus.forEach(({ start: { vcpuFd, runSize } }, id) => {
    const vcpu = new Vcpu(vcpuFd, runSize);
    using _view = vcpu.run; // the descriptor is the vCPU's thread's
    restoreVcpu(vcpu, state.vcpus[id]!);
    vcpu.kvmclockCtrl(); // it takes the time since for no lockup
  });
}
