/**
 * A saved machine with one vCPU that goes on in the calling thread, and back to
 * a point again and again: no thread is asked, so that takes half a millisecond.
 *
 * Its serial port, clock and ways to end are there. Of its virtio devices those
 * that `devices` names work, in this thread; the others have registers, and do
 * nothing.
 *
 * @module
 */
import {
  addI8042,
  BOOT_TIMER_SIZE,
  BootTimer,
  I8042,
  RESET_PORTS,
  ResetControl,
  Rtc,
  RTC_PORTS,
  SLEEP_PORTS,
  SleepRegisters,
} from "../../devices/platform/mod.ts";
import type { BusDevice } from "../../devices/bus.ts";
import { Bus } from "../../devices/bus.ts";
import {
  Serial,
  SERIAL_PORTS,
  SerialState,
} from "../../devices/platform/serial.ts";
import { VireoError } from "../../ffi/error.ts";
import { ExitRecorder } from "../../ffi/kvm/exit_recorder.ts";
import { Kvm, Vm } from "../../ffi/kvm/kvm.ts";
import type { Vcpu } from "../../ffi/kvm/vcpu.ts";
import {
  completeExit,
  restoreVcpu,
  saveVcpu,
  vcpuResetter,
} from "../../ffi/kvm/vcpu_state.ts";
import { restoreVm, savedMsrs, saveVm } from "../../ffi/kvm/vm_state.ts";
import { Madvise } from "../../ffi/memory/mmap.ts";
import { libc } from "../../ffi/libc.ts";
import { Recorder } from "../../ffi/recorder.ts";
import { Gsi, Layout, Port } from "../../guest/layout.ts";
import { GuestMemory } from "../../guest/memory.ts";
import { setUpVm } from "../build.ts";
import { resolve, type ResolvedConfig } from "../config/resolve.ts";
import { Command, Control } from "../control.ts";
import type { MachineEnd } from "../messages.ts";
import {
  type Emulation,
  emulationOfHost,
  type RefusedInstructions,
} from "../refused.ts";
import { MemoryImage } from "../snapshot/memory_image.ts";
import type { Snapshot } from "../snapshot/snapshot.ts";
import { EMULATION_WANTED, VcpuLoop } from "../vcpu_loop.ts";
import { Kcov, type KcovBuffer } from "./coverage.ts";

/** What a device has on a replica's buses, and what is put back with it. */
export interface ReplicaDevice extends Disposable {
  /** What answers, and where. */
  readonly place: {
    space: "mmio" | "port";
    address: number;
    size: number;
    device: BusDevice;
  };
  /** Its state is what it goes back to. */
  capture(): void;
  /** Is as it was. */
  reset(): void;
}

/** What a replica's makers of devices may use. */
export interface ReplicaParts {
  readonly snapshot: Snapshot;
  readonly config: ResolvedConfig;
  readonly memory: GuestMemory;
  readonly vm: Vm;
}

/** Asked before each entry into the guest: true ends {@linkcode Replica.run}. */
export type Stop = () => boolean;

/** No vCPU thread is steered by it: it asks. */
class Steering extends Control {
  stop: Stop = () => true;

  override get vcpuCommand(): number {
    return this.stop() ? Command.STOP : Command.RUN;
  }
  override set vcpuCommand(_command: number) {}
}

/** There is a kernel in the memory already. */
const NO_KERNEL = { kernel_image_path: new Uint8Array() };

/** A machine that goes back. */
export class Replica implements Disposable {
  /** The guest's RAM. */
  readonly memory: GuestMemory;
  /** The vCPU. */
  readonly vcpu: Vcpu;
  /** Called with each byte that the guest prints on its serial port. */
  onByte: (byte: number) => void = () => {};
  readonly #vm: Vm;
  #stack: DisposableStack;
  readonly #steering = new Steering();
  readonly #serialState: SharedArrayBuffer;
  readonly #serial: Serial;
  readonly #devices: readonly ReplicaDevice[];
  readonly #loop: VcpuLoop;
  readonly #msrs: readonly number[];
  readonly #emulation: Emulation | undefined;
  #refused: RefusedInstructions | undefined;
  #end: MachineEnd | undefined;
  #goBack: (() => void) | undefined;

  private constructor(
    { memory, vm, snapshot }: ReplicaParts,
    stack: DisposableStack,
    devices: readonly ReplicaDevice[],
    emulation: Emulation | undefined,
  ) {
    this.memory = memory;
    this.#vm = vm;
    this.#stack = stack;
    this.#devices = devices;
    this.#emulation = emulation;
    using kvm = new Kvm();
    this.#msrs = savedMsrs(kvm.fd);
    this.vcpu = stack.adopt(vm.createVcpu(0), (vcpu) => vcpu.close());
    this.vcpu.setSignalMask();
    const { state } = snapshot;
    restoreVm(vm.fd, state.vm);
    restoreVcpu(this.vcpu, state.vcpus[0]!);
    this.vcpu.kvmclockCtrl();
    this.#serialState = SerialState.create();
    if (!new SerialState(this.#serialState).restore(state.platform.serial)) {
      throw new VireoError("fuzz: the snapshot has no serial port's state");
    }
    this.#serial = new Serial(this.#serialState, {
      raiseInterrupt: () => this.#pulse(Gsi.SERIAL),
      outputReady: () => this.#drain(),
      inputRoom: () => {},
      stopping: () => true,
    });
    this.#serial.drainOutput(); // what was printed before is another's
    this.#loop = this.#vcpuLoop();
  }

  /**
   * Makes it go on where the machine was saved, without running it.
   *
   * @param makeDevices makes devices that work, once there is a VM
   * @throws {VireoError} the machine is of another kind
   */
  static async of(
    snapshot: Snapshot,
    makeDevices: (parts: ReplicaParts) => ReplicaDevice[],
  ): Promise<Replica> {
    const { state } = snapshot;
    if (state.vcpus.length !== 1) {
      throw new VireoError("fuzz: only a machine with one vCPU");
    }
    const config = resolve({ ...state.config, "boot-source": NO_KERNEL });
    if (config.transport === "pci") {
      throw new VireoError("fuzz: only devices on mmio, not on pci");
    }
    const module = emulationOfHost();
    const emulation: Emulation | undefined = module && await import(module);
    using stack = new DisposableStack(); // unless all goes well
    using kvm = new Kvm();
    const vm = stack.use(kvm.createVm());
    const memory = GuestMemory.allocate(config.memory);
    stack.defer(() => memory.free());
    setUpVm(vm, memory);
    if (emulation) vm.exitOnEmulationFailure();
    if (!config.pmu) vm.disablePmu();
    snapshot.memory.mapOver(memory.handles());
    const parts = { snapshot, config, memory, vm };
    const devices = makeDevices(parts).map((device) => stack.use(device));
    const replica = new Replica(parts, stack, devices, emulation);
    replica.#stack = stack.move();
    return replica;
  }

  /** Types into the guest's serial port; what has no room is left out. */
  input(bytes: Uint8Array): void {
    this.#serial.pushInput(bytes);
  }

  /**
   * Runs the guest until `stop` says so.
   *
   * @returns how the machine has ended; undefined: it has not
   */
  run(stop: Stop): MachineEnd | undefined {
    this.#steering.stop = stop;
    this.#end = undefined;
    for (;;) {
      const end = this.#loop.run();
      if (end !== EMULATION_WANTED) return end;
      const attach = () => this.memory;
      const { RefusedInstructions } = this.#emulation!;
      this.#refused = new RefusedInstructions(this.vcpu, attach);
      this.#loop.emulation = this.#refused;
    }
  }

  /**
   * What the machine is now is what {@linkcode reset} puts it back to. It may be
   * in the middle of a device's `read`: that is asked for again then.
   */
  capture(): void {
    const state = saveVcpu(this.vcpu, this.#msrs);
    const vm = saveVm(this.#vm.fd);
    const serialState = new SerialState(this.#serialState);
    const serial = serialState.save();
    for (const device of this.#devices) device.capture();
    const image = this.#stack.use(MemoryImage.of(this.memory));
    image.mapOver(this.memory.handles());
    const pieces = this.memory.regions.map(({ hostAddress, size }) =>
      [
        Deno.UnsafePointer.create(BigInt(hostAddress)),
        BigInt(size),
      ] as const
    );
    const resetVcpu = vcpuResetter(this.vcpu, state);
    this.#goBack = () => {
      completeExit(this.vcpu, () => {});
      this.vcpu.run.dropIo();
      for (const [address, size] of pieces) {
        libc.madvise(address, size, Madvise.DONTNEED);
      }
      serialState.restore(serial);
      for (const device of this.#devices) device.reset();
      restoreVm(this.#vm.fd, vm);
      resetVcpu();
    };
  }

  /**
   * Where KCOV writes, as the vCPU's program has it.
   *
   * @throws {VireoError} it has nothing mapped there
   */
  kcov(buffer: KcovBuffer): Kcov {
    return new Kcov(buffer, this.memory, saveVcpu(this.vcpu, this.#msrs));
  }

  /** Is back where {@linkcode capture} was called. */
  reset(): void {
    this.#goBack!();
  }

  /** Gives all of it back. */
  [Symbol.dispose](): void {
    this.#refused?.[Symbol.dispose]();
    this.#stack.dispose();
  }

  #drain(): void {
    const bytes = this.#serial.drainOutput();
    for (const byte of bytes) this.onByte(byte);
  }

  #pulse(gsi: number): void {
    this.#vm.irqLine(gsi, true);
    this.#vm.irqLine(gsi, false);
  }

  #vcpuLoop(): VcpuLoop {
    const power = {
      reset: () => void (this.#end = { reason: "reset" }),
      powerOff: () => void (this.#end = { reason: "power-off" }),
    };
    const ports = new Bus();
    const mmio = new Bus();
    ports.add(Port.COM1, SERIAL_PORTS, this.#serial);
    ports.add(Port.RTC, RTC_PORTS, new Rtc(Rtc.createState(), Date.now));
    addI8042(ports, I8042.share(), power);
    ports.add(Port.SLEEP, SLEEP_PORTS, new SleepRegisters(power));
    ports.add(Port.RESET, RESET_PORTS, new ResetControl(power));
    const timer = new BootTimer(BootTimer.createState(), { booted: () => {} });
    mmio.add(Layout.BOOT_TIMER, BOOT_TIMER_SIZE, timer);
    for (const { place } of this.#devices) {
      const bus = place.space === "port" ? ports : mmio;
      bus.add(place.address, place.size, place.device);
    }
    return new VcpuLoop(this.vcpu, {
      id: 0,
      control: this.#steering,
      exits: new ExitRecorder(Recorder.create(1), 0),
      ports,
      mmio,
      refuses: this.#emulation !== undefined,
      ended: () => this.#end,
      paused: () => {},
      debugStop: () => {},
    });
  }
}
