/**
 * virtio-mmio register accesses, as the vCPU thread answers them: what comes
 * on top of an exit's 2 us (VT-x) or 10 us (PVM).
 *
 *     deno bench -A bench/transport_bench.ts
 *
 * @module
 */
import { Bus } from "../devices/bus.ts";
import {
  MmioRegister,
  MmioTransport,
} from "../devices/virtio/transport/mmio.ts";
import { Interrupt } from "../devices/virtio/spec.ts";
import { MockDriver } from "../devices/virtio/testing/mod.ts";
import { RecordingDevice } from "../devices/virtio/testing/device.ts";
import { EventFd } from "../ffi/eventfd.ts";
import { Layout, virtioWindow } from "../guest/layout.ts";

const driver = new MockDriver(new RecordingDevice());
driver.start();
const doorbell = new EventFd();
const transport = new MmioTransport(driver.state, {
  requestReady() {},
  notify: () => doorbell.signal(),
  stopping: () => false,
});

const bus = new Bus();
for (let i = 0; i < 20; i++) {
  bus.add(virtioWindow(i), Layout.VIRTIO_MMIO_SIZE, transport);
}
const page = virtioWindow(7) / Layout.VIRTIO_MMIO_SIZE;

Deno.bench(
  "InterruptStatus read, InterruptACK write",
  { group: "interrupt" },
  () => {
    transport.read(MmioRegister.InterruptStatus, 4);
    transport.write(MmioRegister.InterruptACK, 4, Interrupt.USED_BUFFER);
  },
);

Deno.bench(
  "the same through the bus, as one of twenty devices",
  { group: "interrupt" },
  () => {
    const { InterruptStatus, InterruptACK } = MmioRegister;
    bus.readInPage(page, InterruptStatus, 4);
    bus.writeInPage(page, InterruptACK, 4, Interrupt.USED_BUFFER);
  },
);

Deno.bench("InterruptStatus read", { group: "register" }, () => {
  transport.read(MmioRegister.InterruptStatus, 4);
});

Deno.bench("ConfigGeneration read", { group: "register" }, () => {
  transport.read(MmioRegister.ConfigGeneration, 4);
});

Deno.bench("MagicValue read", { group: "register" }, () => {
  transport.read(MmioRegister.MagicValue, 4);
});

Deno.bench("configuration read, 4 bytes", { group: "register" }, () => {
  transport.read(MmioRegister.Config, 4);
});

Deno.bench("QueueSel write", { group: "register" }, () => {
  transport.write(MmioRegister.QueueSel, 4, 0);
});

Deno.bench("QueueNotify write to an eventfd, without an ioeventfd", {
  group: "doorbell",
}, () => {
  transport.write(MmioRegister.QueueNotify, 4, 0);
});

Deno.bench("reset and the whole of §3.1.1", () => {
  driver.start({ queueSize: 8 });
});
