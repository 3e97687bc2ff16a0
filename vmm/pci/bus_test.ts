/** A PCI bus as vCPUs see it, and doorbells that no ioeventfd takes. */
import assert from "node:assert/strict";
import { Bus } from "../../devices/bus.ts";
import { PciConfigPorts } from "../../devices/pci/root.ts";
import {
  devicePlaces,
  DeviceState,
  DeviceWord,
  Request,
} from "../../devices/virtio/transport/device_state.ts";
import {
  BarLayout,
  PciFunctionState,
} from "../../devices/virtio/transport/pci_layout.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { Gsi, Layout } from "../../guest/layout.ts";
import { readPayload } from "../../images/payload/payload.ts";
import type { VcpuWorkerStart } from "../messages.ts";
import { ScratchFile, TestMachine } from "../testing/mod.ts";
import { WorkersInstead } from "../testing/workers.ts";
import { addPci } from "./bus.ts";

const DEAF = new URL("../testing/deaf_device_worker.ts", import.meta.url);
const QUEUES = 2;

Deno.test("PCI bus: a doorbell that comes to a vCPU is the device worker's to look at", () => {
  const [place] = devicePlaces(1);
  const state = new DeviceState(place);
  state.offer(2, [0, 0], [64, 64], new Uint8Array(4));
  state.show();
  const pci = new PciFunctionState();
  pci.describe(2, QUEUES, 4, Layout.PCI_MEMORY, Gsi.VIRTIO);
  const requests: number[] = [];
  const hooks = {
    requestReady() {
      requests.push(state.words[DeviceWord.REQUEST]!);
      state.words[DeviceWord.REQUEST] = Request.NONE;
    },
    notify: () => assert.fail("nobody hears it"),
    stopping: () => false,
  };
  const [ports, mmio] = [new Bus(), new Bus()];
  const functions = [{ shared: pci.shared, gsi: Gsi.VIRTIO }];
  const config = PciConfigPorts.createState();
  const start = {
    pci: { config, functions, vmFd: -1 },
    devices: [place],
  } as unknown as VcpuWorkerStart;
  const reset = { read: () => 0, write() {} };
  addPci(start, hooks, { ports, mmio, reset });
  const page = (Layout.PCI_MEMORY + BarLayout.NOTIFY) / 4096;
  mmio.writeInPage(page, 4, 2, 1);
  assert.deepEqual(requests.splice(0), [Request.TRANSPORT]);
  mmio.writeInPage(page, 8, 2, 2);
  assert.deepEqual(requests, [], "no such queue");
});

Deno.test(needing([KVM], {
  name: "PCI: a disk works also where KVM refuses all of its doorbells",
  async fn() {
    using disk = new ScratchFile(8 << 20);
    using _deaf = new WorkersInstead("device_worker.ts", DEAF);
    await using test = await TestMachine.create({
      "boot-source": {
        kernel_image_path: await readPayload(),
        boot_args: "demo",
      },
      "machine-config": { mem_size_mib: 64, transport: "pci" },
      drives: [
        { drive_id: "d", path_on_host: disk.path, is_root_device: false },
      ],
    });
    const { end, output, log } = await test.run();
    assert.equal(end.reason, "reset", output);
    assert.match(output, /1 MiB verified \(polling\)/);
    assert.match(output, /1 MiB verified \(interrupts\)/);
    assert.match(log[0] ?? "", /KVM_IOEVENTFD at 0xd0003000: ENOSPC/);
  },
}));
