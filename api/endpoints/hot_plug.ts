/**
 * Devices that come and go while the guest runs, of which there are none.
 *
 * @module
 */
import { Fault } from "../fault.ts";
import type { MicroVm } from "../microvm/microvm.ts";

/** @throws {Fault} the guest runs already */
export function noHotPlug(vm: MicroVm, prefix: string): void {
  if (!vm.started) return;
  const why = vm.surroundings.pci
    ? "Hot plug is not supported by Vireo"
    : "PCI is not enabled";
  throw new Fault(`${prefix}: ${why}`);
}
