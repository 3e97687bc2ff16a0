/**
 * A machine's state as plain data, but for the bytes of its RAM.
 *
 * @module
 */
import type { SavedDevice } from "../../devices/virtio/device.ts";
import type { VcpuState } from "../../ffi/kvm/vcpu_state.ts";
import type { VmState } from "../../ffi/kvm/vm_state.ts";
import type { VmConfig } from "../config/types.ts";

/** All that a machine is, between two instructions. */
export interface SavedMachine {
  /** What it was made of, without its kernel. */
  config: Omit<VmConfig, "boot-source">;
  /** It finds its devices in ACPI tables, and has a power button. */
  acpi: boolean;
  /** The vCPUs, in the order of their numbers. */
  vcpus: VcpuState[];
  /** Interrupt controllers, timer, clock. */
  vm: VmState;
  /** The devices that answer in the vCPUs' threads. */
  platform: SavedPlatform;
  /** The virtio devices, in the order of their windows. */
  devices: SavedDevice[];
}

/** Shared memory of devices without virtio. */
export interface SavedPlatform {
  /** The serial port, behind which there is the input that waits in it. */
  serial: Uint8Array;
  /** The clock's CMOS RAM. */
  rtc: Uint8Array;
  /** The boot timer. */
  bootTimer: Uint8Array;
  /** The keyboard controller; undefined: of a Vireo that had none. */
  keyboard?: Uint8Array;
  /** `CONFIG_ADDRESS` of the PCI bus; undefined without one. */
  pci?: Uint8Array;
}
