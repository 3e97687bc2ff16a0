/** What a device in a virtio-mmio window has KVM do. */
import assert from "node:assert/strict";
import {
  devicePlaces,
  DeviceState,
  DeviceWord,
} from "../devices/virtio/transport/device_state.ts";
import { MmioRegister } from "../devices/virtio/transport/mmio.ts";
import { RecordingDevice } from "../devices/virtio/testing/device.ts";
import { Errno } from "../ffi/errno.ts";
import { EventFd } from "../ffi/eventfd.ts";
import { Kvm } from "../ffi/kvm/kvm.ts";
import { mask, unmask } from "../ffi/testing/ioapic.ts";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { KvmRequest, OtherKvm } from "../ffi/testing/other_kvm.ts";
import { Gsi, virtioWindow } from "../guest/layout.ts";
import { connectorOf } from "./connection.ts";
import type { DeviceSpec, DeviceWorkerStart } from "./messages.ts";

const ACK = {
  address: virtioWindow(0) + MmioRegister.InterruptACK,
  length: 4,
  datamatch: 1,
};

for (const mapped of [true, false]) {
  const when = mapped
    ? "while the driver waits for interrupts"
    : "never if registers exit";
  Deno.test(needing([KVM], {
    name: `connection: acknowledgements of used buffers are taken ${when}`,
    async fn() {
      using stack = new DisposableStack();
      using kvm = new Kvm();
      using vm = kvm.createVm();
      vm.createIrqchip();
      const [place] = devicePlaces(1);
      const start = { vmFd: vm.fd, devices: [], irqfd: false, mapped };
      const connect = await connectorOf(
        start as unknown as DeviceWorkerStart,
        () => {},
      );
      const connection = connect(
        {
          window: virtioWindow(0),
          gsi: Gsi.VIRTIO,
          state: place!,
        } as DeviceSpec,
        new RecordingDevice(),
        [],
        () => stack.use(new EventFd()),
      );
      using other = new EventFd();
      /** KVM has one already: the same can't be had twice. */
      const taken = () => {
        try {
          vm.ioeventfd(other.fd, ACK);
        } catch (error) {
          assert.match(`${error}`, /EEXIST/);
          return true;
        }
        vm.removeIoeventfd(other.fd, ACK);
        return false;
      };
      const { words } = new DeviceState(place);
      const begins = () => {
        connection.activated!();
        assert.equal(words[DeviceWord.UNSEEN_ACK], taken() ? 1 : 0);
        return taken();
      };
      assert.equal(begins(), false, "a driver that looks by itself");
      unmask(vm.fd, Gsi.VIRTIO);
      {
        using _full = new OtherKvm(
          {},
          ({ request }) =>
            request === KvmRequest.IOEVENTFD ? -Errno.ENOSPC : undefined,
        );
        connection.activated!();
        assert.equal(words[DeviceWord.UNSEEN_ACK], 0, "KVM has no room");
      }
      assert.equal(begins(), mapped);
      assert.equal(begins(), mapped, "it begins anew");
      mask(vm.fd, Gsi.VIRTIO);
      assert.equal(begins(), false);
    },
  }));
}
