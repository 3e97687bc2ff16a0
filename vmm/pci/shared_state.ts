/**
 * What the threads of a machine share of its PCI bus. Loaded only for a
 * machine that has one.
 *
 * @module
 */
import { PciConfigPorts } from "../../devices/pci/root.ts";
import { PciFunctionState } from "../../devices/virtio/transport/pci_layout.ts";
import type { DeviceSpec, PciBus } from "../messages.ts";

/** Memory of one virtio function: configuration space, MSI-X table. */
export function functionState(): SharedArrayBuffer {
  return new PciFunctionState().shared;
}

/** The bus that these devices are on; undefined when there is none of them. */
export function busOf(
  devices: readonly DeviceSpec[],
  vmFd: number,
): PciBus | undefined {
  const functions = devices.flatMap(({ pci, gsi }) =>
    pci ? [{ shared: pci, gsi }] : []
  );
  if (functions.length === 0) return undefined;
  return { config: PciConfigPorts.createState(), functions, vmFd };
}
