/**
 * What the main isolate and the workers say to each other. Descriptors and
 * addresses are valid in all of them: they are threads of one process.
 *
 * @module
 */
import type { SharedI8042 } from "../devices/platform/mod.ts";
import type { OwnEvent } from "../devices/own/context.ts";
import type { PlainPlace } from "../devices/own/plain.ts";
import type { DevicePlace } from "../devices/virtio/transport/device_state.ts";
import type { SavedDevice } from "../devices/virtio/device.ts";
import type { RegionHandle } from "../guest/memory.ts";
import type { StepCounts } from "./refused.ts";

/** Why a machine ended. */
export interface MachineEnd {
  /**
   * `power-off`, `reset`, `halt` (every vCPU sleeps with interrupts off):
   * the guest's wish. `stopped`: ours. `triple-fault` and `error`: a failure.
   */
  reason:
    | "power-off"
    | "reset"
    | "halt"
    | "stopped"
    | "triple-fault"
    | "error";
  /** What went wrong, in one or more lines. */
  message?: string;
  /**
   * How often the VMM carried out an instruction that KVM's emulator refuses,
   * by its name, all vCPUs together; left out when there was none.
   */
  stepped_past?: StepCounts;
}

/** The guest has asked for this end. */
export function isGuestsWish({ reason }: MachineEnd): boolean {
  return reason === "power-off" || reason === "reset" || reason === "halt";
}

/** `end` if it is a failure. */
export function failureIn(end: MachineEnd): MachineEnd | undefined {
  return end.reason === "error" ? end : undefined;
}

/** A command for a device, on its way to the device worker. */
export interface DeviceCommand {
  /** Names the command in its {@linkcode CommandAnswer}. */
  id: number;
  /** The device, in the order of windows; or `ALL_DEVICES`. */
  device: number;
  /** Plain data, for {@linkcode VirtioDevice.command}. */
  command: unknown;
}

/** What a paused machine's devices are told together. */
export type AllCommand =
  /** Nothing is in flight, and the answer is a {@linkcode SavedDevice} of each. */
  | { type: "save" }
  /** None uses the RAM any more, until they are restored. */
  | { type: "let-go" }
  /** They go on as saved, when the machine does; perhaps over an image. */
  | { type: "restore"; saved: readonly SavedDevice[]; overImage: boolean }
  /** A snapshot's file was mapped over the RAM. */
  | { type: "over-image" };

/** What a device answers: a value, or an objection. */
export interface CommandAnswer {
  /** The command's. */
  id: number;
  /** Plain data. */
  value?: unknown;
  /** Why the command was not carried out. */
  error?: string;
}

/** A device for the device worker to make. */
export interface DeviceSpec {
  /** What the configuration calls it. */
  name: string;
  /** URL of its maker's module: a {@linkcode Maker} named `make`. */
  make: string;
  /** For the maker. */
  data: unknown;
  /** Code of the user's is part of it. */
  own?: boolean;
  /** It is no virtio device, and here. */
  plain?: PlainPlace;
  /** The device's registers. */
  state: DevicePlace;
  /** Guest address of its virtio-mmio window. */
  window: number;
  /** Its interrupt. */
  gsi: number;
  /** What it goes on as. */
  saved?: SavedDevice;
  /** Its PCI function's shared memory; undefined: it is on virtio-mmio. */
  pci?: SharedArrayBuffer;
}

/** Starts the device worker. */
export interface DeviceWorkerStart {
  /** {@linkcode Control.shared}. */
  control: SharedArrayBuffer;
  /** eventfd: a command or a transport's request waits. */
  controlFd: number;
  /** The VM's descriptor. */
  vmFd: number;
  /** The guest's RAM. */
  memory: RegionHandle[];
  /** The devices, in the order of their windows. */
  devices: DeviceSpec[];
  /** What the thread counts of them: a {@linkcode Recorder}'s page. */
  record: SharedArrayBuffer;
  /** The longest time to look for work before sleeping, in microseconds. */
  pollMicroseconds: number;
  /** Offer packed virtqueues. */
  packed: boolean;
  /** Interrupts over MMIO by an irqfd. */
  irqfd: boolean;
  /** The guest reads virtio-mmio windows as memory. */
  mapped: boolean;
}

/** A machine's PCI bus. */
export interface PciBus {
  /** `CONFIG_ADDRESS`. */
  config: SharedArrayBuffer;
  /** Each device's function and INTx line, in the order of devices. */
  functions: { shared: SharedArrayBuffer; gsi: number }[];
  /** The VM's descriptor. */
  vmFd: number;
}

/** Starts a vCPU worker. */
export interface VcpuWorkerStart {
  /** The vCPU's number. */
  id: number;
  /** The vCPU's descriptor. */
  vcpuFd: number;
  /** What the thread counts: an {@linkcode ExitRecorder}'s page. */
  record: SharedArrayBuffer;
  /** Bytes of its `struct kvm_run`. */
  runSize: number;
  /** {@linkcode emulationOfHost}. */
  emulation?: string | undefined;
  /** {@linkcode Control.shared}. */
  control: SharedArrayBuffer;
  /** The device worker's eventfd. */
  controlFd: number;
  /** The serial port's shared state, and its irqfd. */
  serial: { state: SharedArrayBuffer; irqFd: number };
  /** The keyboard controller. */
  keyboard: SharedI8042;
  /** The real-time clock's shared state. */
  rtc: SharedArrayBuffer;
  /** The boot timer's shared state. */
  bootTimer: SharedArrayBuffer;
  /** Init's orders; undefined: it finds nobody who gives any. */
  orders?: SharedArrayBuffer;
  /** The virtio devices' registers, in the order of their windows. */
  devices: DevicePlace[];
  /** With it, the devices are PCI functions. */
  pci?: PciBus;
  /** Devices without virtio of the user's own. */
  plain?: PlainPlace[];
  /** The VM's descriptor. */
  vmFd: number;
  /** The guest's RAM. */
  memory: RegionHandle[];
}

/** What workers tell the main isolate. */
export type WorkerMessage =
  | { type: "ready" }
  // Of the device worker: where {@linkcode DeviceCommand}s go.
  | { type: "commands"; port: MessagePort }
  | { type: "output" }
  | { type: "input-room" }
  | { type: "booted" }
  | { type: "paused" }
  | { type: "resumed" }
  | { type: "debug-stop"; id: number }
  | { type: "stopped"; steppedPast?: StepCounts }
  | { type: "answer"; answer: CommandAnswer }
  | { type: "log"; message: string }
  | { type: "event"; event: OwnEvent }
  | { type: "end"; end: MachineEnd };
