/**
 * A machine's PCI bus, as a vCPU's thread sees it: the bridge is device 0, then
 * come the virtio functions.
 *
 * @module
 */
import type { Bus, BusDevice } from "../../devices/bus.ts";
import { HostBridge } from "../../devices/pci/host_bridge.ts";
import {
  Ecam,
  PCI_CONFIG_PORTS,
  PciConfigPorts,
  PciMemory,
  PciRoot,
} from "../../devices/pci/root.ts";
import { DeviceState } from "../../devices/virtio/transport/device_state.ts";
import type { TransportHooks } from "../../devices/virtio/transport/driver_registers.ts";
import { VirtioPciFunction } from "../../devices/virtio/transport/pci.ts";
import { PciFunctionState } from "../../devices/virtio/transport/pci_layout.ts";
import { VmEvents } from "../../ffi/kvm/vm_events.ts";
import { Layout, Port } from "../../guest/layout.ts";
import type { VcpuWorkerStart } from "../messages.ts";

/**
 * Puts the bus where the guest looks for it; `reset` is the chipset's reset
 * control in the midst of the configuration ports.
 */
export function addPci(
  { pci, devices }: VcpuWorkerStart,
  hooks: TransportHooks,
  { ports, mmio, reset }: { ports: Bus; mmio: Bus; reset: BusDevice },
): void {
  const bus = pci!;
  const vm = new VmEvents(bus.vmFd);
  const functions = bus.functions.map(({ shared, gsi }, index) => {
    const made: VirtioPciFunction = new VirtioPciFunction(
      new DeviceState(devices[index]!),
      new PciFunctionState(shared),
      {
        ...hooks,
        interruptLine: (level) => vm.irqLine(gsi, level),
        // The device worker tries to have it, and looks at its queues.
        notify: () => made.doorbellMissing(),
      },
    );
    return made;
  });
  const root = new PciRoot([new HostBridge(), ...functions]);
  const configuration = new PciConfigPorts(root, bus.config, reset);
  ports.add(Port.PCI_CONFIG, PCI_CONFIG_PORTS, configuration);
  mmio.add(Layout.PCI_ECAM, Layout.PCI_ECAM_SIZE, new Ecam(root));
  const memory = new PciMemory(root, Layout.PCI_MEMORY);
  mmio.add(Layout.PCI_MEMORY, Layout.PCI_MEMORY_SIZE, memory);
}
