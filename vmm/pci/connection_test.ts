/** Interrupt messages and INTx of a PCI function, into a real local APIC. */
import assert from "node:assert/strict";
import {
  DeviceState,
  DeviceWord,
  Request,
} from "../../devices/virtio/transport/device_state.ts";
import {
  CommonCfg,
  VirtioPciFunction,
} from "../../devices/virtio/transport/pci.ts";
import {
  BarLayout,
  PciFunctionState,
} from "../../devices/virtio/transport/pci_layout.ts";
import { EventFd } from "../../ffi/eventfd.ts";
import { IOAPIC_PINS, IrqRoutes } from "../../ffi/kvm/irq_routing.ts";
import { Kvm, type Vm } from "../../ffi/kvm/kvm.ts";
import type { Vcpu } from "../../ffi/kvm/vcpu.ts";
import { unmask } from "../../ffi/testing/ioapic.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { KvmRequest, OtherKvm } from "../../ffi/testing/other_kvm.ts";
import { Gsi, Layout } from "../../guest/layout.ts";
import { until } from "../../ffi/testing/until.ts";
import { PciConnection } from "./connection.ts";

const ENABLE = 1 << 15, FUNCTION_MASK = 1 << 14;
const APIC_SPIV = 0xf0, APIC_IRR = 0x200;
const QUEUES = 2;
const NOTIFY = BarLayout.NOTIFY;
const COMMAND = 4, STATUS = 6;
const INTX_DISABLE = 1 << 10, INTERRUPT = 1 << 3;
/** Where a local APIC gets the function's INTx line. */
const INTX_VECTOR = 0xa1;

/** A VM with one vCPU that never runs, and a function. */
class Setup implements Disposable {
  readonly messages: string[] = [];
  readonly vm: Vm;
  readonly device: VirtioPciFunction;
  readonly connection: PciConnection;
  readonly pci = new PciFunctionState();
  readonly state = new DeviceState();
  /** The queues' doorbells. */
  readonly doorbells: readonly EventFd[];
  readonly #stack = new DisposableStack();
  readonly #vcpu: Vcpu;

  constructor() {
    const stack = this.#stack;
    using kvm = new Kvm();
    const vm = stack.use(kvm.createVm());
    this.vm = vm;
    vm.createIrqchip();
    const vcpu = vm.createVcpu(0);
    stack.defer(() => vcpu.close());
    this.#vcpu = vcpu;
    const lapic = vcpu.getLapic();
    lapic.setUint32(APIC_SPIV, 0x1ff, true); // enabled
    vcpu.setLapic(lapic);
    const eventFds = (count: number) =>
      Array.from({ length: count }, () => stack.use(new EventFd()));
    const { state } = this;
    state.offer(2, [0, 0], [64, 64], new Uint8Array(4));
    state.show();
    this.pci.describe(2, QUEUES, 4, Layout.PCI_MEMORY, Gsi.VIRTIO);
    this.doorbells = eventFds(QUEUES);
    this.connection = new PciConnection({
      vm,
      routes: new IrqRoutes(vm.fd),
      state,
      pci: this.pci,
      gsi: Gsi.VIRTIO,
      firstMessageGsi: IOAPIC_PINS,
      doorbells: this.doorbells,
      vectors: eventFds(QUEUES + 1),
      moved: () => {},
      log: (message) => this.messages.push(message),
    });
    this.device = new VirtioPciFunction(state, this.pci, {
      requestReady: () => {
        this.connection.changed();
        state.words[DeviceWord.REQUEST] = Request.NONE;
      },
      notify: () => {},
      stopping: () => false,
      interruptLine: (level) => vm.irqLine(Gsi.VIRTIO, level),
    });
  }

  /** Sends the INTx line to the local APIC, each rise of it. */
  aimIntx(): void {
    unmask(this.vm.fd, Gsi.VIRTIO, INTX_VECTOR);
  }

  /** The local APIC has no interrupt that is requested. */
  forget(): void {
    const lapic = this.#vcpu.getLapic();
    for (let at = APIC_IRR; at < APIC_IRR + 0x80; at += 0x10) {
      lapic.setUint32(at, 0, true);
    }
    this.#vcpu.setLapic(lapic);
  }

  set control(value: number) {
    this.device.writeConfig(0x42, 2, value);
  }

  /** Message of `vector`: interrupt `irq` at local APIC 0. */
  aim(vector: number, irq: number): void {
    const at = BarLayout.MSIX_TABLE + 16 * vector;
    this.device.write(at, 4, 0xfee0_0000);
    this.device.write(at + 4, 4, 0);
    this.device.write(at + 8, 4, irq);
    this.mask(vector, false);
  }

  mask(vector: number, masked: boolean): void {
    const at = BarLayout.MSIX_TABLE + 16 * vector + 12;
    this.device.write(at, 4, masked ? 1 : 0);
  }

  /** Waits for interrupt `irq` to come to the local APIC. */
  async comes(irq: number): Promise<void> {
    // irqfd injects from a work queue when it can't at once.
    await until(() => this.#requested(irq), `interrupt ${irq}`);
  }

  /** Interrupt `irq` has not come to the local APIC, nor does it soon. */
  async staysAway(irq: number): Promise<void> {
    for (let tries = 0; tries < 50; tries++) {
      assert.ok(!this.#requested(irq), `interrupt ${irq}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  #requested(irq: number): boolean {
    const at = APIC_IRR + 0x10 * (irq >> 5);
    return (this.#vcpu.getLapic().getUint32(at, true) & (1 << (irq & 31))) !==
      0;
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

function test(name: string, run: (setup: Setup) => Promise<void>): void {
  Deno.test(needing([KVM], {
    name,
    async fn() {
      using setup = new Setup();
      await run(setup);
    },
  }));
}

test("PCI: each queue and the configuration have a message of their own", async (setup) => {
  const { device, connection } = setup;
  setup.control = ENABLE;
  [0x51, 0x52, 0x93].forEach((irq, vector) => setup.aim(vector, irq));
  for (const queue of [0, 1]) {
    device.write(CommonCfg.queue_select, 2, queue);
    device.write(CommonCfg.queue_msix_vector, 2, queue);
  }
  device.write(CommonCfg.config_msix_vector, 2, 2);
  connection.raise(1);
  await setup.comes(0x52);
  await setup.staysAway(0x51);
  connection.raise(0);
  await setup.comes(0x51);
  connection.raise(-1);
  await setup.comes(0x93);
  assert.deepEqual(setup.messages, []);
});

test("PCI: masked vectors keep their interrupts pending", async (setup) => {
  const { device, connection } = setup;
  setup.aim(0, 0x61);
  device.write(CommonCfg.queue_msix_vector, 2, 0);
  setup.control = ENABLE;
  setup.mask(0, true);
  connection.raise(0);
  await setup.staysAway(0x61);
  assert.equal(device.read(BarLayout.MSIX_PENDING, 4), 1);
  setup.mask(0, false);
  await setup.comes(0x61);
  assert.equal(device.read(BarLayout.MSIX_PENDING, 4), 0);

  setup.control = ENABLE | FUNCTION_MASK;
  setup.aim(0, 0x62);
  connection.raise(0);
  await setup.staysAway(0x62);
  setup.control = ENABLE;
  await setup.comes(0x62);
});

test("PCI: a queue without a vector interrupts nobody", async (setup) => {
  setup.control = ENABLE;
  setup.aim(0, 0x71);
  setup.connection.raise(0);
  await setup.staysAway(0x71);
  assert.equal(setup.device.read(BarLayout.MSIX_PENDING, 4), 0);
});

test("PCI: doorbells follow the BAR, also into places where they can't be", (setup) => {
  const { device } = setup;
  for (const base of [0xd800_0000, 0xc000_0000, 0, 0xffff_8000, 0xdfff_8000]) {
    device.writeConfig(4, 2, 0);
    device.writeConfig(0x10, 4, base);
    device.writeConfig(4, 2, 6);
    device.writeConfig(0x10, 4, Layout.PCI_MEMORY); // while it is decoded
  }
  assert.deepEqual(setup.messages, []);
  return Promise.resolve();
});

test("PCI: a driver that puts BARs in one place all the time fills no log", (setup) => {
  const { device, vm } = setup;
  const taken = 0xd800_0000;
  using other = new EventFd();
  vm.ioeventfd(other.fd, { address: taken + BarLayout.NOTIFY, length: 0 });
  for (let i = 0; i < 100; i++) {
    device.writeConfig(0x10, 4, taken);
    device.writeConfig(0x10, 4, Layout.PCI_MEMORY);
  }
  assert.ok(setup.messages.length > 0);
  assert.ok(setup.messages.length <= 20, `${setup.messages.length} lines`);
  vm.removeIoeventfd(other.fd, {
    address: taken + BarLayout.NOTIFY,
    length: 0,
  });
  return Promise.resolve();
});

test("PCI: a doorbell that KVM has refused is tried again, and so are others' when their place is free", (setup) => {
  const { device, connection, vm } = setup;
  const taken = 0xd800_0000;
  using other = new EventFd();
  const at = { address: taken + NOTIFY, length: 0 };
  vm.ioeventfd(other.fd, at);
  device.writeConfig(0x10, 4, taken);
  assert.match(setup.messages.join(), /KVM_IOEVENTFD at 0xd8003000: EEXIST/);
  const rings = () => {
    using kvm = new OtherKvm({});
    connection.addDoorbells();
    return kvm.those(KvmRequest.IOEVENTFD).map(({ bytes }) =>
      new DataView(bytes!.buffer).getUint32(8, true)
    );
  };
  assert.deepEqual(rings(), [taken + NOTIFY], "the one that is missing");
  vm.removeIoeventfd(other.fd, at);
  assert.deepEqual(rings(), [taken + NOTIFY], "and now it is had");
  assert.deepEqual(rings(), [], "nothing is missing any more");
  // All of them are taken away again, and none that wasn't there.
  const messages = setup.messages.length;
  device.writeConfig(0x10, 4, Layout.PCI_MEMORY);
  assert.equal(setup.messages.length, messages);
  vm.ioeventfd(other.fd, at);
  vm.removeIoeventfd(other.fd, at);
  return Promise.resolve();
});

test("PCI INTx: an interrupt that comes while it is disabled is in the status register, and delivered when it is enabled", async (setup) => {
  const { device, connection, state } = setup;
  setup.aimIntx();
  const interrupt = () => {
    Atomics.or(state.words, DeviceWord.INTERRUPT_STATUS, 1);
    connection.raise(0);
  };
  const pending = () => (device.readConfig(STATUS, 2) & INTERRUPT) !== 0;
  assert.equal(pending(), false);
  device.writeConfig(COMMAND, 2, INTX_DISABLE | 6);
  interrupt();
  await setup.staysAway(INTX_VECTOR);
  assert.equal(pending(), true);
  device.writeConfig(COMMAND, 2, 6);
  await setup.comes(INTX_VECTOR);
  assert.equal(device.read(BarLayout.ISR, 1), 1);
  assert.equal(pending(), false);
  // The line is down again: the next one is another edge.
  setup.forget();
  interrupt();
  await setup.comes(INTX_VECTOR);
});

test("PCI INTx: what was pending before a reset, or with MSI-X on, holds no line", async (setup) => {
  const { device, connection, state } = setup;
  setup.aimIntx();
  const interrupt = () => {
    Atomics.or(state.words, DeviceWord.INTERRUPT_STATUS, 1);
    connection.raise(0);
  };
  interrupt();
  await setup.comes(INTX_VECTOR);
  device.write(CommonCfg.device_status, 1, 0);
  assert.equal(device.readConfig(STATUS, 2) & INTERRUPT, 0);
  setup.forget();
  interrupt();
  await setup.comes(INTX_VECTOR); // an edge after it
  setup.control = ENABLE;
  assert.equal(device.readConfig(STATUS, 2) & INTERRUPT, 0, "MSI-X has none");
  setup.forget();
  setup.control = 0;
  await setup.comes(INTX_VECTOR); // back on the line
});
