/**
 * Puts a machine together, up to the point where its vCPUs could run: KVM,
 * memory, interrupts, kernel, images, TAPs. All or nothing.
 *
 * @module
 */
import { BootTimer, I8042, Rtc } from "../devices/platform/mod.ts";
import type { HostEnd } from "../devices/backends/console/channel.ts";
import { SerialState } from "../devices/platform/serial.ts";
import { devicePlaces } from "../devices/virtio/transport/device_state.ts";
import { needDescriptors } from "../ffi/descriptors.ts";
import { EventFd } from "../ffi/eventfd.ts";
import { closeFd } from "../ffi/file.ts";
import { Cap } from "../ffi/kvm/capabilities.ts";
import { Kvm, type Vm } from "../ffi/kvm/kvm.ts";
import { VmClock } from "../ffi/kvm/vm_clock.ts";
import { Gsi, Layout, virtioWindow } from "../guest/layout.ts";
import { Recorder } from "../ffi/recorder.ts";
import type { OwnName } from "../ffi/own_name.ts";
import { GuestMemory } from "../guest/memory.ts";
import { descriptors, type ResolvedConfig } from "./config/mod.ts";
import { Control } from "./control.ts";
import { DeviceChannel } from "./device_channel.ts";
import type { FirstBoot } from "./first_boot.ts";
import { pciState } from "./lazy.ts";
import type { MachineOptions } from "./machine_options.ts";
import { MainConsole } from "./main_console.ts";
import type {
  DeviceSpec,
  DeviceWorkerStart,
  MachineEnd,
  VcpuWorkerStart,
  WorkerMessage,
} from "./messages.ts";
import { DEVICE_WORKER, VCPU_WORKER, WorkerThread } from "./worker_thread.ts";
import type { MachineWorker } from "./worker_thread.ts";
import { emulationOfHost } from "./refused.ts";

/** What the threads share of a PCI bus. */
type PciState = typeof import("./pci/shared_state.ts");

/** A vCPU's thread, which waits for its one message, and that message. */
export interface VcpuPart {
  readonly worker: MachineWorker;
  readonly start: VcpuWorkerStart;
}

/** A machine's parts. Disposing releases all of them, in reverse order. */
export interface MachineParts extends AsyncDisposable {
  /** The words that steer the threads. */
  readonly control: Control;
  /** eventfd: wakes the device worker, which then looks at the words. */
  readonly controlFd: EventFd;
  /** The VM's descriptor. */
  readonly vmFd: number;
  /** What the guest has as its clock. */
  readonly clock: VmClock;
  /** Commands to devices. */
  readonly channel: DeviceChannel;
  /** The vCPUs, in the order of their numbers. */
  readonly vcpus: readonly VcpuPart[];
  /** The devices, in the order of their windows. */
  readonly devices: readonly DeviceSpec[];
  /** The device worker of a restored machine whose guest waits for it. */
  readonly deviceWorker: MachineWorker | undefined;
  /** Starts the device worker; undefined when there is no device. */
  readonly deviceStart: DeviceWorkerStart | undefined;
  /** The main isolate's end of the guest's console. */
  readonly console: MainConsole;
  /** The guest finds its devices in ACPI tables, and has a power button. */
  readonly acpi: boolean;
  /** Names in the file system that are taken away with the parts. */
  readonly names: readonly OwnName[];
  /** An end, with what has become of the memory's file as its cause. */
  explained(end: MachineEnd): MachineEnd;
  /** The guest's pages come from a file, of which `fault` says what is wrong. */
  memoryComesFrom(fault: () => string | undefined): void;
  /**
   * The devices are described: from now on the guest has their windows as
   * memory that it reads, if it is to.
   */
  devicesReady(): void;
  /** Calls `release` with the parts'. */
  defer(release: () => void | PromiseLike<void>): void;
  /**
   * The machine has run: files that were made for it, of its memory and of
   * frames, are not removed with the parts.
   */
  keepFiles(): void;
}

/**
 * Builds the machine, up to the point where its vCPUs could run. Read from top
 * to bottom, it says what a machine is made of.
 *
 * @param boot what it begins with; undefined: the memory and the vCPUs are
 *   filled in from a snapshot
 * @param onMessage gets the workers' messages, in any order among workers
 * @throws {VireoError} when a part can't be had; the others are released
 */
export async function buildMachine(
  config: ResolvedConfig,
  boot: FirstBoot | undefined,
  onMessage: (message: WorkerMessage) => void,
  options: MachineOptions,
): Promise<MachineParts> {
  const { cpus } = config;
  const vcpus = cpus === 1 ? "1 vCPU" : `${cpus} vCPUs`;
  needDescriptors(descriptors(config), `${vcpus} and the devices`);
  options.deviceWorker?.admit(config);
  await using parts = new AsyncDisposableStack(); // unless all are there

  // How the threads are told what to do.
  const control = new Control();
  const controlFd = parts.use(new EventFd());
  const channel = new DeviceChannel(control, () => controlFd.signal());
  parts.defer(() => channel.close());

  // The threads. They load their modules while the rest is made.
  const emulation = emulationOfHost();
  const begin = (worker: MachineWorker) =>
    parts.adopt(worker, () => worker.terminate());
  const waits = boot === undefined && config.devices.length > 0 &&
    !options.early?.isFirst(config);
  const deviceWorker = waits ? begin(devicesOf(options, onMessage)) : undefined;
  const vcpu = () => new WorkerThread(VCPU_WORKER, onMessage);
  const workers = Array.from(
    { length: cpus },
    () => begin(options.early?.take(onMessage) ?? vcpu()),
  );

  // The VM: its RAM, its interrupt controllers, and what KVM has to report.
  using kvm = new Kvm();
  const memory = parts.use(
    GuestMemory.allocate(config.memory, config.memoryOptions),
  );
  const vm = parts.use(kvm.createVm());
  setUpVm(vm, memory);
  if (boot !== undefined) parts.use(vm.dropLateTicks());
  if (emulation) vm.exitOnEmulationFailure(); // elsewhere programs get #UD
  // The CPU does SYSCALL itself where it runs kernel code.
  if (config.carrySyscalls && emulation) boot?.carrySyscalls(vm);
  if (!config.pmu) vm.disablePmu();

  // What it has on the host: images, TAPs and sockets.
  const filesMade = parts.use(new DisposableStack());
  const opened = parts.use(new DisposableStack());
  const pci = config.transport === "pci" ? await pciState() : undefined;
  const { devices, port, names } = await openDevices(
    config,
    pci,
    opened,
    filesMade,
    options,
  );

  // What the guest finds in its memory: kernel, command line, tables.
  const acpi = boot ? await boot.load(memory, devices) : config.acpi === true;

  // From here on only other threads use the guest's memory.
  const lost = (message: string): MachineEnd => ({ reason: "error", message });
  const watchMemory = () =>
    memory.onLost((reason) => onMessage({ type: "end", end: lost(reason) }));
  parts.use(watchMemory());

  // Interrupts of what the main isolate and the vCPUs' threads answer.
  const serialIrq = parts.use(new EventFd());
  vm.irqfd(serialIrq.fd, Gsi.SERIAL);
  const keyboardIrq = parts.use(new EventFd());
  vm.irqfd(keyboardIrq.fd, Gsi.KEYBOARD);

  // The vCPUs, and what their threads and the devices' need to begin.
  const vcpuFds = createVcpus(kvm, vm, cpus, boot, parts);
  const serial = SerialState.create();
  const windows = devices.filter(isVirtio).map(({ state }) => state);
  const mapped = config.mappedRegisters && !pci && windows.length > 0 &&
    vm.checkExtension(Cap.READONLY_MEM) !== 0;
  const shared = {
    control: control.shared,
    controlFd: controlFd.fd,
    memory: memory.handles(),
  };
  const ofEachVcpu = {
    ...shared,
    runSize: kvm.getVcpuMmapSize(),
    emulation,
    serial: { state: serial, irqFd: serialIrq.fd },
    keyboard: I8042.share(keyboardIrq.fd),
    rtc: Rtc.createState(),
    bootTimer: BootTimer.createState(),
    orders: options.orders?.shared,
    devices: windows,
    pci: pci?.busOf(devices, vm.fd),
    plain: devices.flatMap(({ plain }) => plain ?? []),
    vmFd: vm.fd,
  };
  const ofDevices = {
    ...shared,
    vmFd: vm.fd,
    devices,
    record: Recorder.create(devices.length),
    pollMicroseconds: config.pollMicroseconds,
    packed: config.packed,
    irqfd: config.irqfd,
    mapped,
  };
  const all = parts.move();
  return {
    control,
    controlFd,
    vmFd: vm.fd,
    clock: new VmClock(vm.fd, options.clock === "catch-up"),
    channel,
    vcpus: workers.map((worker, id) => ({
      worker,
      start: {
        ...{ id, vcpuFd: vcpuFds[id]!, record: Recorder.create(1) },
        ...ofEachVcpu,
      },
    })),
    devices,
    deviceWorker,
    deviceStart: devices.length > 0 ? ofDevices : undefined,
    console: new MainConsole(serial, port, () => serialIrq.signal(), options),
    acpi,
    names,
    explained(end) {
      const failed = end.reason === "error" || end.reason === "triple-fault";
      const fault = failed ? memory.fault() : undefined;
      return fault === undefined ? end : lost(fault);
    },
    memoryComesFrom(fault) {
      memory.comesFrom(fault);
      all.use(watchMemory());
    },
    devicesReady() {
      if (!mapped || all.disposed) return;
      all.use(vm.addReadOnly(
        memory.regions.length,
        virtioWindow(0),
        windows.length * Layout.VIRTIO_MMIO_SIZE,
        windows[0]!.address,
      ));
    },
    defer: (release) => all.defer(release),
    keepFiles() {
      memory.keepFile();
      if (!filesMade.disposed) filesMade.move();
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** A machine's device worker: its own, or its part of a shared one. */
export function devicesOf(
  { deviceWorker }: MachineOptions,
  hear: (message: WorkerMessage) => void,
): MachineWorker {
  return deviceWorker?.join(hear) ?? new WorkerThread(DEVICE_WORKER, hear);
}

/** Memory and interrupt chips: all but its vCPUs and devices. */
export function setUpVm(vm: Vm, memory: GuestMemory): void {
  vm.setTssAddr(Layout.TSS);
  vm.setIdentityMapAddr(Layout.IDENTITY_MAP);
  // Before the interrupt chips: afterwards each slot waits for a grace period
  // of KVM's readers, some 7 ms.
  memory.regions.forEach(({ guestAddress, size, hostAddress }, slot) =>
    vm.setUserMemoryRegion(slot, guestAddress, size, hostAddress)
  );
  vm.createIrqchip();
  vm.createPit2();
}

function isVirtio({ plain }: DeviceSpec): boolean {
  return plain === undefined;
}

/** Makes the vCPUs as they are before the first instruction. */
function createVcpus(
  kvm: Kvm,
  vm: Vm,
  cpus: number,
  boot: FirstBoot | undefined,
  stack: AsyncDisposableStack,
): number[] {
  using views = new DisposableStack(); // each vCPU's thread maps its own
  const vcpus = Array.from({ length: cpus }, (_, cpu) => {
    const vcpu = vm.createVcpu(cpu);
    stack.defer(() => closeFd(vcpu.fd));
    views.use(vcpu.run);
    return vcpu;
  });
  boot?.setUp(vcpus, kvm);
  return vcpus.map(({ fd }) => fd);
}

/** Opens images, TAPs, sockets; `stack` closes, `undo` removes new files. */
async function openDevices(
  { devices }: ResolvedConfig,
  pci: PciState | undefined,
  stack: DisposableStack,
  undo: DisposableStack,
  { onLog }: MachineOptions,
): Promise<
  { devices: DeviceSpec[]; port: HostEnd | undefined; names: OwnName[] }
> {
  const names: OwnName[] = [];
  const specs: DeviceSpec[] = [];
  let port: HostEnd | undefined;
  const places = devicePlaces(devices.length);
  for (const { kind, config, window, gsi } of devices) {
    const { console, warning, names: own = [], ...opened } = await kind.open(
      config,
      stack,
      undo,
    );
    if (opened.plain) opened.plain.gsi = gsi;
    if (warning) onLog?.(warning);
    names.push(...own);
    port ??= console;
    specs.push({
      ...opened,
      make: kind.make.href,
      // Windows first, one behind the other as in the guest.
      state: opened.plain ? places.pop()! : places.shift()!,
      window,
      gsi,
      ...(pci && !opened.plain && { pci: pci.functionState() }),
    });
  }
  return { devices: specs, port, names };
}
