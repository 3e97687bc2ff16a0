/**
 * What the threads of a machine share of its PCI bus. Loaded only for a
 * machine that has one.
 *
 * @module
 */
import { PciConfigPorts } from "../../devices/pci/root.ts";
import { PciFunctionState } from "../../devices/virtio/transport/pci_layout.ts";

/** Memory of one virtio function: configuration space, MSI-X table. */
export function functionState(): SharedArrayBuffer {
  return new PciFunctionState().shared;
}

/** `CONFIG_ADDRESS`, which the machine has once. */
export function configPorts(): SharedArrayBuffer {
  return PciConfigPorts.createState();
}
