/**
 * Puts a machine together, up to the point where its vCPUs could run: KVM,
 * memory, interrupts, kernel, images, TAPs. All or nothing.
 *
 * @module
 */
import { BootTimer } from "../devices/platform/boot_timer.ts";
import { closeRawImage, openRawImage } from "../devices/backends/block/raw.ts";
import { Rtc } from "../devices/platform/rtc.ts";
import { SerialState } from "../devices/platform/serial.ts";
import { PciConfigPorts } from "../devices/pci/root.ts";
import { DeviceState } from "../devices/virtio/transport/device_state.ts";
import { PciFunctionState } from "../devices/virtio/transport/pci_layout.ts";
import {
  closeUnixSockets,
  openUnixSockets,
} from "../devices/backends/vsock/unix_sockets.ts";
import { EventFd } from "../ffi/eventfd.ts";
import { closeFd } from "../ffi/file.ts";
import { Cap, Kvm, type Vm } from "../ffi/kvm/kvm.ts";
import type { Vcpu } from "../ffi/kvm/vcpu.ts";
import { kernelHasAcpi } from "../guest/acpi/support.ts";
import { writeAcpiTables } from "../guest/acpi/tables.ts";
import type { KernelCommandLine } from "../guest/boot/cmdline.ts";
import type { KernelImage } from "../guest/kernel/image.ts";
import { Gsi, KiB, Layout, virtioGsi, virtioWindow } from "../guest/layout.ts";
import { type BootState, loadKernel, setUpBoot } from "../guest/boot/load.ts";
import { GuestMemory } from "../guest/memory.ts";
import { writeMpTable } from "../guest/boot/mptable.ts";
import { balloonOptions } from "./devices/balloon.ts";
import type { Drive, VmConfig, Vsock } from "./config/types.ts";
import {
  bootArgs,
  checkDeviceCount,
  driveQueues,
  drivesInOrder,
  guestCid,
  machineSize,
  memoryOptions,
  pollMicroseconds,
  rootWords,
  usesAcpi,
} from "./config/values.ts";
import { openConsole } from "./devices/console.ts";
import { vcpuCpuid } from "../guest/boot/cpuid.ts";
import { setLocalInterrupts } from "../guest/boot/lapic.ts";
import type { DeviceSpec, PciBus } from "./messages.ts";
import { BOOT_MSRS, Msr } from "../guest/boot/msrs.ts";
import { emulationOfHost } from "./refused.ts";
import { openNetwork } from "./devices/network.ts";

/** A machine's parts, still in one hand. */
export interface MachineParts extends Disposable {
  /** The VM. */
  readonly vm: Vm;
  /** Its RAM. */
  readonly memory: GuestMemory;
  /** The vCPUs' descriptors, ready to run. */
  readonly vcpus: readonly number[];
  /** Bytes of `struct kvm_run`. */
  readonly runSize: number;
  /** The devices for the device worker. */
  readonly devices: DeviceSpec[];
  /** See {@linkcode MachineConfig.poll_us}. */
  readonly pollMicroseconds: number;
  /** See {@linkcode MachineConfig.packed_rings}. */
  readonly packed: boolean;
  /** The serial port's shared state. */
  readonly serial: SharedArrayBuffer;
  /** The PCI bus, where the devices are on one. */
  readonly pci?: PciBus;
  /** The clock's shared state. */
  readonly rtc: SharedArrayBuffer;
  /** The boot timer's shared state. */
  readonly bootTimer: SharedArrayBuffer;
  /** Its signal is a press of the power button; only a guest with ACPI has one. */
  readonly powerButton?: EventFd;
  /** From now on, the vCPU workers close the vCPUs. */
  vcpusHandedOver(): void;
}

/**
 * Builds the machine.
 *
 * @param serialIrq eventfd that raises the serial port's interrupt
 * @param kernel what to boot, opened
 * @throws {VireoError} when a part can't be had; the others are released
 */
export function buildMachine(
  config: VmConfig,
  serialIrq: number,
  kernel: KernelImage,
): MachineParts {
  const { cpus, threads, memory: memorySize } = machineSize(config);
  checkDeviceCount(config);
  using stack = new DisposableStack();
  using kvm = new Kvm();
  const devices = openDevices(config, stack);
  const memory = stack.use(
    GuestMemory.allocate(memorySize, memoryOptions(config)),
  );
  const vm = createVm(kvm, memory);
  stack.use(vm);
  // The CPU does SYSCALL itself where it runs kernel code.
  const carrySyscalls = config["machine-config"]?.carry_syscalls;
  if (carrySyscalls && emulationOfHost()) vm.exitOnMsrWrite(Msr.LSTAR);
  vm.irqfd(serialIrq, Gsi.SERIAL);
  const { bootState, acpi } = loadGuest(config, devices, memory, cpus, kernel);
  const powerButton = acpi ? stack.use(new EventFd()) : undefined;
  if (powerButton) vm.irqfd(powerButton.fd, Gsi.POWER_BUTTON);
  const vcpuStack = stack.use(new DisposableStack());
  const vcpus = createVcpus(
    kvm,
    vm,
    { cpus, threads },
    bootState,
    vcpuStack,
  );
  memory.keepFile();
  const resources = stack.move();
  return {
    vm,
    memory,
    vcpus,
    runSize: kvm.getVcpuMmapSize(),
    devices,
    pollMicroseconds: pollMicroseconds(config),
    packed: config["machine-config"]?.packed_rings ?? false,
    pci: pciBus(devices, vm.fd),
    serial: SerialState.create(),
    rtc: Rtc.createState(),
    bootTimer: BootTimer.createState(),
    powerButton,
    vcpusHandedOver: () => void vcpuStack.move(),
    [Symbol.dispose]: () => resources.dispose(),
  };
}

function createVm(kvm: Kvm, memory: GuestMemory): Vm {
  const vm = kvm.createVm();
  try {
    vm.setTssAddr(Layout.TSS);
    vm.setIdentityMapAddr(Layout.IDENTITY_MAP);
    vm.createIrqchip();
    vm.createPit2();
    if (vm.checkExtension(Cap.EXIT_ON_EMULATION_FAILURE)) {
      vm.enableCap(Cap.EXIT_ON_EMULATION_FAILURE, 1n);
    }
    memory.regions.forEach(({ guestAddress, size, hostAddress }, slot) =>
      vm.setUserMemoryRegion(slot, guestAddress, size, hostAddress)
    );
    return vm;
  } catch (error) {
    vm.close();
    throw error;
  }
}

function isOnPci(config: VmConfig): boolean {
  return config["machine-config"]?.transport === "pci";
}

function pciBus(
  devices: readonly DeviceSpec[],
  vmFd: number,
): PciBus | undefined {
  const functions = devices.flatMap(({ pci, gsi }) =>
    pci ? [{ shared: pci, gsi }] : []
  );
  if (functions.length === 0) return undefined;
  return { config: PciConfigPorts.createState(), functions, vmFd };
}

/** Kernel, command line, tables; returns how the boot vCPU starts. */
function loadGuest(
  config: VmConfig,
  devices: readonly DeviceSpec[],
  memory: GuestMemory,
  cpus: number,
  image: KernelImage,
): { bootState: BootState; acpi: boolean } {
  const kernel = loadKernel(memory, image);
  const acpi = usesAcpi(config, () => kernelHasAcpi(memory, kernel));
  const virtio = isOnPci(config) ? [] : devices;
  const pci = isOnPci(config) ? devices.map(({ gsi }) => gsi) : undefined;
  const bootState = setUpBoot(memory, image, kernel, {
    commandLine: commandLine(config, acpi ? [] : virtio),
    initrd: config["boot-source"].initrd_path,
    rsdp: acpi ? writeAcpiTables(memory, { cpus, virtio, pci }) : undefined,
  });
  writeMpTable(memory, cpus);
  return { bootState, acpi };
}

/** The user's words, the root disk, and where these devices are. */
function commandLine(
  config: VmConfig,
  devices: readonly DeviceSpec[],
): KernelCommandLine {
  const given = bootArgs(config);
  const words = given.get("root") === undefined
    ? rootWords(config.drives ?? [])
    : [];
  const size = `${Layout.VIRTIO_MMIO_SIZE / KiB}K`;
  for (const { window, gsi } of devices) {
    const address = `0x${window.toString(16)}`;
    words.push(`virtio_mmio.device=${size}@${address}:${gsi}`);
  }
  return given.add(...words);
}

function createVcpus(
  kvm: Kvm,
  vm: Vm,
  { cpus, threads }: { cpus: number; threads: number },
  bootState: BootState,
  stack: DisposableStack,
): number[] {
  const supported = kvm.getSupportedCpuid();
  const tscDeadlineTimer = kvm.checkExtension(Cap.TSC_DEADLINE_TIMER) > 0;
  return Array.from({ length: cpus }, (_, cpu) => {
    // The worker maps its own view; this one is only for the setup.
    using vcpu = new VcpuSetup(vm.createVcpu(cpu), stack);
    vcpu.setUp(
      vcpuCpuid(supported, { cpu, cpus, threads, tscDeadlineTimer }),
      cpu === 0 ? bootState : undefined,
    );
    return vcpu.fd;
  });
}

/** A vCPU while its registers are set. */
class VcpuSetup implements Disposable {
  readonly fd: number;
  readonly #vcpu: Vcpu;

  constructor(vcpu: Vcpu, stack: DisposableStack) {
    this.#vcpu = vcpu;
    this.fd = vcpu.fd;
    stack.defer(() => closeFd(vcpu.fd));
  }

  /** Registers only for the boot vCPU: KVM starts the others by SIPI. */
  setUp(
    cpuid: Uint8Array<ArrayBuffer>,
    bootState: BootState | undefined,
  ): void {
    const vcpu = this.#vcpu;
    vcpu.setCpuid2(cpuid);
    vcpu.setMsrs(BOOT_MSRS);
    const lapic = vcpu.getLapic();
    setLocalInterrupts(lapic);
    vcpu.setLapic(lapic);
    if (bootState === undefined) return;
    vcpu.setFpu();
    const sregs = vcpu.getSregs();
    bootState.enterMode(sregs);
    vcpu.setSregs(sregs);
    vcpu.setRegs(bootState.registers);
  }

  [Symbol.dispose](): void {
    this.#vcpu.run.unmap();
  }
}

/** Opens images and TAPs; `stack` closes them. */
function openDevices(config: VmConfig, stack: DisposableStack): DeviceSpec[] {
  const devices: DeviceSpec[] = [];
  const place = () => ({
    state: new DeviceState().shared,
    window: virtioWindow(devices.length),
    gsi: virtioGsi(devices.length),
    ...(isOnPci(config) && { pci: new PciFunctionState().shared }),
  });
  for (const drive of drivesInOrder(config)) {
    devices.push({ ...place(), ...openDrive(drive, stack) });
  }
  for (const network of config["network-interfaces"] ?? []) {
    devices.push({ ...place(), ...openNetwork(network, stack) });
  }
  if (config.vsock) {
    devices.push({ ...place(), ...openVsock(config.vsock, stack) });
  }
  if (config.entropy) {
    const limits = config.entropy.rate_limiter;
    devices.push({ ...place(), kind: "rng", name: "entropy", limits });
  }
  if (config.balloon) {
    const options = balloonOptions(config.balloon, config);
    devices.push({ ...place(), kind: "balloon", name: "balloon", options });
  }
  if (config.console) {
    const ends = openConsole(config.console, stack);
    devices.push({ ...place(), kind: "console", name: "console", ends });
  }
  for (const { module, options } of config.devices ?? []) {
    const name = module;
    devices.push({ ...place(), kind: "module", name, module, options });
  }
  return devices;
}

function openDrive(drive: Drive, stack: DisposableStack) {
  const image = openRawImage({
    path: drive.path_on_host,
    readOnly: drive.is_read_only,
    direct: drive.direct,
  });
  stack.defer(() => closeRawImage(image));
  const { drive_id: id, cache_type, io_engine } = drive;
  const flush = cache_type !== "Unsafe";
  const sync = io_engine === "Sync";
  const queues = driveQueues(drive);
  const options = { flush, queues, limits: drive.rate_limiter };
  return { kind: "blk", name: id, image, id, sync, options } as const;
}

function openVsock(vsock: Vsock, stack: DisposableStack) {
  const cid = guestCid(vsock);
  const sockets = openUnixSockets(vsock.uds_path);
  stack.defer(() => closeUnixSockets(sockets));
  return { kind: "vsock", name: "vsock", cid, sockets } as const;
}
