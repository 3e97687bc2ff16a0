/// <reference no-default-lib="true"/>
/// <reference lib="deno.worker"/>
/**
 * The entry point of a vCPU's worker: makes this thread's devices over their
 * shared state, then runs the guest until the machine ends.
 *
 * @module
 */
import { Bus, type BusDevice } from "../devices/bus.ts";
import {
  addI8042,
  BOOT_TIMER_SIZE,
  BootTimer,
  ORDERS_PORTS,
  OrdersPorts,
  RESET_PORTS,
  ResetControl,
  Rtc,
  RTC_PORTS,
  SLEEP_PORTS,
  SleepRegisters,
} from "../devices/platform/mod.ts";
import { Serial, SERIAL_PORTS } from "../devices/platform/serial.ts";
import { DeviceState } from "../devices/virtio/transport/device_state.ts";
import type { TransportHooks } from "../devices/virtio/transport/driver_registers.ts";
import { MmioTransport } from "../devices/virtio/transport/mmio.ts";
import { errorText, VireoError } from "../ffi/error.ts";
import { signalEventFd } from "../ffi/eventfd.ts";
import { ExitRecorder } from "../ffi/kvm/exit_recorder.ts";
import { blockKickSignal, currentThread } from "../ffi/kvm/kick.ts";
import { Vcpu } from "../ffi/kvm/vcpu.ts";
import { lookUpNow } from "../ffi/libc.ts";
import { Layout, Port, virtioWindow } from "../guest/layout.ts";
import { GuestMemory } from "../guest/memory.ts";
import { Control } from "./control.ts";
import type { MachineEnd, VcpuWorkerStart, WorkerMessage } from "./messages.ts";
import type { AddPlain } from "./plain_devices.ts";
import type { Emulation, RefusedInstructions } from "./refused.ts";
import { EMULATION_WANTED, VcpuLoop } from "./vcpu_loop.ts";

const post = (message: WorkerMessage): void => self.postMessage(message);

/** Not a literal in `import()`: that is read at the start, needed or not. */
const PCI = new URL("./pci/bus.ts", import.meta.url).href;
const PLAIN = new URL("./plain_devices.ts", import.meta.url).href;

// While the rest of the machine is made, this thread has time.
blockKickSignal();
lookUpNow("ioctl_pointer", "write_u32");

self.onmessage = ({ data }: MessageEvent<VcpuWorkerStart | string>) =>
  // A module that it is going to need; what is wrong with it is told then.
  typeof data === "string" ? import(data).catch(() => {}) : run(data);

async function run(start: VcpuWorkerStart): Promise<void> {
  const control = new Control(start.control);
  let vcpu: Vcpu | undefined;
  let refused: RefusedInstructions | undefined;
  try {
    vcpu = new Vcpu(start.vcpuFd, start.runSize);
    vcpu.setSignalMask();
    control.setThreadOf(start.id, currentThread());
    const pci = start.pci && await import(PCI);
    const loop = vcpuLoop(
      vcpu,
      control,
      start,
      pci,
      await plain(start, control),
    );
    post({ type: "ready" });
    let end = loop.run();
    while (end === EMULATION_WANTED) {
      const { RefusedInstructions }: Emulation = await import(start.emulation!);
      const attach = () => GuestMemory.attach(start.memory);
      refused = loop.emulation = new RefusedInstructions(vcpu, attach);
      end = loop.run();
    }
    if (end !== undefined) post({ type: "end", end });
  } catch (error) {
    post({ type: "end", end: { reason: "error", message: errorText(error) } });
  } finally {
    // No kick may reach this thread any more: its id can be used again.
    control.setThreadOf(start.id, 0);
    refused?.[Symbol.dispose]();
    vcpu?.run.unmap();
    post({ type: "stopped", steppedPast: refused?.counts });
  }
}

/** The user's own devices without virtio, if there are some. */
async function plain(
  start: VcpuWorkerStart,
  control: Control,
): Promise<AddPlain | undefined> {
  if (start.plain === undefined || start.plain.length === 0) return undefined;
  const { plainDevices }: typeof import("./plain_devices.ts") = await import(
    PLAIN
  );
  return await plainDevices(start, post, () => control.stopping);
}

function vcpuLoop(
  vcpu: Vcpu,
  control: Control,
  start: VcpuWorkerStart,
  pci: typeof import("./pci/bus.ts") | undefined,
  addPlain: AddPlain | undefined,
): VcpuLoop {
  let end: MachineEnd | undefined;
  const power = {
    reset: () => void (end = { reason: "reset" }),
    powerOff: () => void (end = { reason: "power-off" }),
  };
  const ports = new Bus();
  const { irqFd } = start.serial;
  const paused = () => {
    vcpu.kvmclockCtrl();
    post({ type: "paused" });
  };
  const serial = new Serial(start.serial.state, {
    raiseInterrupt: () => signalEventFd(irqFd),
    outputReady: () => post({ type: "output" }),
    inputRoom: () => post({ type: "input-room" }),
    stopping: () => {
      const { resets } = control;
      control.waitWhileVcpusPaused(paused, start.id); // output may be stuck
      return control.stopping || control.resets !== resets;
    },
  });
  ports.add(Port.COM1, SERIAL_PORTS, serial);
  ports.add(Port.RTC, RTC_PORTS, new Rtc(start.rtc, Date.now));
  addI8042(ports, start.keyboard, power);
  ports.add(Port.SLEEP, SLEEP_PORTS, new SleepRegisters(power));
  const { orders } = start;
  if (orders) ports.add(Port.ORDERS, ORDERS_PORTS, new OrdersPorts(orders));
  const reset = new ResetControl(power);
  const mmio = new Bus();
  if (pci) pci.addPci(start, hooks(start, control), { ports, mmio, reset });
  else {
    ports.add(Port.RESET, RESET_PORTS, reset);
    start.devices.forEach((shared, index) => {
      const state = new DeviceState(shared);
      const transport = new MmioTransport(state, hooks(start, control));
      mmio.add(virtioWindow(index), Layout.VIRTIO_MMIO_SIZE, transport);
    });
  }
  for (const { guestAddress, size } of start.memory) {
    mmio.add(guestAddress, size, LOST_MEMORY);
  }
  const timer = new BootTimer(start.bootTimer, {
    booted: () => post({ type: "booted" }),
  });
  mmio.add(Layout.BOOT_TIMER, BOOT_TIMER_SIZE, timer);
  addPlain?.({ ports, mmio });
  return new VcpuLoop(vcpu, {
    id: start.id,
    control,
    exits: new ExitRecorder(start.record, start.id),
    ports,
    mmio,
    refuses: start.emulation !== undefined,
    ended: () => end,
    paused,
    debugStop() {
      control.setHeld(start.id, true);
      post({ type: "debug-stop", id: start.id });
      control.waitWhileVcpusPaused(paused, start.id);
    },
  });
}

/** KVM asks for RAM as for a device when the host has no page for it. */
const LOST_MEMORY: BusDevice = { read: lost, write: lost };

function lost(): never {
  throw new VireoError("the host has lost a page of the guest's memory");
}

function hooks(
  { controlFd }: VcpuWorkerStart,
  control: Control,
): TransportHooks {
  return {
    requestReady: () => signalEventFd(controlFd),
    notify: () => {}, // every valid doorbell is an ioeventfd
    stopping: () => control.stopping,
  };
}
