/**
 * A virtual machine: one worker per vCPU, one device worker, and this
 * isolate, which is never on a hot path.
 *
 * @module
 */
import type { BlkCommand } from "../devices/virtio/blk/blk.ts";
import type { ConsoleCommand } from "../devices/virtio/console/console.ts";
import { EventFd, signalEventFd } from "../ffi/eventfd.ts";
import { VireoError } from "../ffi/errno.ts";
import { kickThread } from "../ffi/kvm/kick.ts";
import type { KernelImage } from "../guest/kernel/image.ts";
import { BalloonHandle } from "./devices/balloon.ts";
import { buildMachine, type MachineParts } from "./build.ts";
import type { VmConfig } from "./config/types.ts";
import { machineSize } from "./config/values.ts";
import { Command, Control } from "./control.ts";
import { DeviceChannel } from "./device_channel.ts";
import { MainConsole } from "./main_console.ts";
import { openConfiguredKernel } from "./open_kernel.ts";
import type { MachineEnd, WorkerMessage } from "./messages.ts";
import { emulationOfHost, type StepCounts } from "./refused.ts";
import { WorkerThread } from "./worker_thread.ts";

/** How a machine talks to its maker. */
export interface MachineOptions {
  /** What the guest prints on its console, as it comes. */
  onOutput?(bytes: Uint8Array): void;
  /** One line: something went wrong in a device, or takes its time. */
  onLog?(message: string): void;
  /** The guest reported through the boot timer that it is up. */
  onBooted?(milliseconds: number): void;
}

const VCPU_WORKER = new URL("./vcpu_worker.ts", import.meta.url);
const DEVICE_WORKER = new URL("./device_worker.ts", import.meta.url);

/** How often to look whether the guest sleeps for ever, in milliseconds. */
const HALT_CHECK = 1000;

/**
 * A virtual machine.
 *
 * @example Boot a kernel and print its console
 * ```ts ignore
 * await using machine = await Machine.create(
 *   { "boot-source": { kernel_image_path: "vmlinux" } },
 *   { onOutput: (bytes) => Deno.stdout.writeSync(bytes) },
 * );
 * machine.start();
 * console.log(await machine.wait());
 * ```
 */
export class Machine {
  readonly #control: Control;
  readonly #controlFd: EventFd;
  readonly #channel: DeviceChannel;
  readonly #parts: MachineParts;
  readonly #options: MachineOptions;
  readonly #vcpus: WorkerThread[];
  readonly #console: MainConsole;
  readonly #serialIrq: EventFd;
  readonly #resources: DisposableStack;
  readonly #end = Promise.withResolvers<MachineEnd>();
  readonly #steppedPast: StepCounts = {};
  #devices: WorkerThread | undefined;
  #devicesReady: Promise<unknown> | undefined;
  #startTime = 0;
  #haltTimer: ReturnType<typeof setInterval> | undefined;
  #started = false;
  #paused: Promise<void> | undefined;
  #teardown: Promise<void> | undefined;

  private constructor(
    config: VmConfig,
    options: MachineOptions,
    resources: DisposableStack,
    kernel: KernelImage,
  ) {
    this.#options = options;
    this.#resources = resources;
    this.#control = new Control();
    this.#controlFd = resources.use(new EventFd());
    const wake = () => this.#controlFd.signal();
    this.#channel = new DeviceChannel(this.#control, wake);
    resources.defer(() => this.#channel.close("the machine has ended"));
    this.#serialIrq = resources.use(new EventFd());
    // Their modules load while the kernel does.
    const { cpus } = machineSize(config);
    this.#vcpus = Array.from(
      { length: cpus },
      () => this.#vcpuWorker(),
    );
    this.#parts = resources.use(
      buildMachine(config, this.#serialIrq.fd, kernel),
    );
    const port = this.#parts.devices.find(({ kind }) => kind === "console");
    this.#console = new MainConsole(
      this.#parts.serial,
      port?.kind === "console" ? port.ends.main : undefined,
      {
        raiseInterrupt: () => this.#serialIrq.signal(),
        stopping: () => this.#control.stopping,
      },
      (bytes) => this.#options.onOutput?.(bytes),
    );
  }

  /**
   * Makes a machine that is ready to start: everything is open, and the
   * kernel is in memory.
   *
   * @throws {VireoError} when something in `config` can't be had; nothing
   * stays behind
   */
  static async create(
    config: VmConfig,
    options: MachineOptions = {},
  ): Promise<Machine> {
    const resources = new DisposableStack();
    try {
      using kernel = await openConfiguredKernel(config, options.onLog);
      const machine = new Machine(config, options, resources, kernel);
      // Modules of the user's own may fail to load: that is to be known now.
      if (config.devices?.length) await machine.#customDevices();
      return machine;
    } catch (error) {
      resources.dispose();
      throw error;
    }
  }

  /** Runs the guest from its entry point. Once per machine. */
  start(): void {
    if (this.#started) throw new VireoError("a machine starts only once");
    this.#started = true;
    this.#startTime = performance.now();
    const { vcpus, serial, rtc, bootTimer, runSize, devices, memory } =
      this.#parts;
    this.#vcpus.forEach((worker, id) => {
      worker.post({
        type: "start",
        id,
        vcpuFd: vcpus[id]!,
        runSize,
        control: this.#control.shared,
        controlFd: this.#controlFd.fd,
        serial: { state: serial, irqFd: this.#serialIrq.fd },
        rtc,
        bootTimer,
        devices: devices.map(({ state }) => state),
        pci: this.#parts.pci,
        memory: memory.handles(),
      });
    });
    this.#parts.vcpusHandedOver();
    // The guest runs already: it waits for its devices when it gets there.
    this.#startDevices();
    this.#haltTimer = setInterval(() => this.#checkHalt(), HALT_CHECK);
  }

  /** Stops all vCPUs, then the devices, until {@linkcode resume}. */
  pause(): Promise<void> {
    this.#paused ??= this.#pause();
    return this.#paused;
  }

  async #pause(): Promise<void> {
    if (this.#teardown || !this.#started) return;
    this.#control.vcpuCommand = Command.PAUSE;
    const vcpus = this.#vcpus.map((worker) => worker.next("paused"));
    this.#kick();
    await Promise.race([Promise.all(vcpus), this.#end.promise]);
    if (this.#teardown) return;
    await Promise.race([this.#devicesReady, this.#end.promise]);
    const devices = this.#devices?.next("paused");
    this.#commandDevices(Command.PAUSE);
    await Promise.race([devices, this.#end.promise]);
  }

  /** Goes on after {@linkcode pause}, which is completed first. */
  async resume(): Promise<void> {
    await this.#paused;
    this.#paused = undefined;
    if (this.#teardown) return;
    this.#commandDevices(Command.RUN);
    this.#control.vcpuCommand = Command.RUN;
  }

  /** Ends the machine, whatever the guest is doing. */
  async stop(): Promise<MachineEnd> {
    this.#finish({ reason: "stopped" });
    return await this.wait();
  }

  /** Waits for the end; afterwards nothing of the machine is left. */
  async wait(): Promise<MachineEnd> {
    const end = await this.#end.promise;
    await this.#teardown;
    if (Object.keys(this.#steppedPast).length === 0) return end;
    return { ...end, stepped_past: this.#steppedPast };
  }

  /**
   * Presses the power button: asks the guest to shut down. What it does is its
   * own choice, and before its driver runs it doesn't notice.
   *
   * @throws {VireoError} when the guest finds its devices without ACPI
   */
  powerButton(): void {
    if (this.#teardown) return;
    const { powerButton } = this.#parts;
    if (powerButton === undefined) {
      throw new VireoError("power button: only a guest with ACPI has one");
    }
    powerButton.signal();
  }

  /**
   * How often the vCPUs have left the guest for Vireo so far. Doorbells and
   * interrupts that KVM handles are not among it.
   */
  get exits(): number {
    const ids = [...this.#vcpus.keys()];
    return ids.reduce((sum, id) => sum + this.#control.exits(id), 0);
  }

  /** Bytes for the guest's main console; none is lost. */
  input(bytes: Uint8Array): void {
    this.#console.input(bytes);
  }

  /**
   * The terminal at the main console's other end has a new size.
   *
   * @throws {VireoError} the machine has no virtio console; a serial port
   * can't tell the guest
   */
  async resize(columns: number, rows: number): Promise<void> {
    const command: ConsoleCommand = { type: "resize", columns, rows };
    await this.command("console", command);
  }

  /**
   * Sends a device a command, and returns what it answers: plain data, in the
   * device's own words ({@linkcode VirtioDevice.command}). Before the start it
   * waits, and a paused machine's devices answer, too.
   *
   * @param device what the configuration calls it: a `drive_id`, an
   * `iface_id`, a module's URL
   * @throws {VireoError} no such device, or its objection
   */
  async command(device: string, command: unknown): Promise<unknown> {
    const index = this.#parts.devices.findIndex(({ name }) => name === device);
    if (index < 0) throw new VireoError(`this machine has no ${device}`);
    return await this.#channel.send(index, command);
  }

  /**
   * The image of a disk has grown or shrunk: the guest is told its new size,
   * which is returned in bytes.
   *
   * @throws {VireoError} no such disk, or its size is no multiple of 512
   */
  async resizeDrive(driveId: string): Promise<number> {
    return await this.command(driveId, "resize" satisfies BlkCommand) as number;
  }

  /** The balloon; asking for one that isn't there is an error. */
  get balloon(): BalloonHandle {
    return new BalloonHandle((command) => this.command("balloon", command));
  }

  /** `await using` support. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #vcpuWorker(): WorkerThread {
    const worker = this.#worker(VCPU_WORKER);
    const emulation = emulationOfHost();
    if (emulation !== undefined) worker.post({ type: "load", emulation });
    return worker;
  }

  #worker(url: URL): WorkerThread {
    const worker = new WorkerThread(url, (message) => this.#message(message));
    this.#resources.defer(() => worker.terminate());
    return worker;
  }

  #startDevices(): void {
    const { devices, vm, memory, pollMicroseconds, packed } = this.#parts;
    if (this.#devices !== undefined || devices.length === 0) return;
    this.#devices = this.#worker(DEVICE_WORKER);
    this.#devicesReady = this.#devices.next("ready");
    this.#devices.post({
      control: this.#control.shared,
      controlFd: this.#controlFd.fd,
      commands: this.#channel.port,
      vmFd: vm.fd,
      memory: memory.handles(),
      devices,
      pollMicroseconds,
      packed,
    }, [this.#channel.port]);
  }

  /** Starts the devices, and throws what is wrong with them. */
  async #customDevices(): Promise<void> {
    this.#startDevices();
    const failed = this.#end.promise.then((end) => end.message ?? end.reason);
    const problem = await Promise.race([
      this.#devicesReady!.then(() => undefined),
      failed,
    ]);
    if (problem === undefined) return;
    await this.#teardown;
    throw new VireoError(problem);
  }

  #message(message: WorkerMessage): void {
    switch (message.type) {
      case "output":
        return this.#console.drainOutput();
      case "input-room":
        return this.#console.pushInput();
      case "booted":
        this.#options.onBooted?.(performance.now() - this.#startTime);
        return;
      case "answer":
        return this.#channel.answered(message.answer);
      case "log":
        this.#options.onLog?.(message.message);
        return;
      case "end":
        return this.#finish(message.end);
      case "stopped":
        return this.#countSteps(message.steppedPast ?? {});
    }
  }

  #countSteps(counts: StepCounts): void {
    for (const [name, count] of Object.entries(counts)) {
      this.#steppedPast[name] = (this.#steppedPast[name] ?? 0) + count;
    }
  }

  /**
   * A guest without ACPI ends in HLT with interrupts off. KVM doesn't say
   * so: kick vCPUs that have not exited for a while, and let them look.
   */
  #checkHalt(): void {
    if (this.#control.vcpuCommand !== Command.RUN) return;
    const control = this.#control;
    const idle = this.#vcpus.keys().filter((id) =>
      control.idleSinceLastLook(id)
    ).toArray();
    // What a vCPU said after the last kick holds only if it has done nothing
    // since: another may have started it again.
    if (
      idle.length === this.#vcpus.length &&
      idle.every((id) => control.haltedForEver(id))
    ) {
      return this.#finish({ reason: "halt" });
    }
    for (const id of idle) kickThread(control.threadOf(id));
  }

  #finish(end: MachineEnd): void {
    if (this.#teardown) return;
    clearInterval(this.#haltTimer);
    this.#teardown = this.#tearDown();
    this.#end.resolve(end);
  }

  /** vCPUs first: they may wait for the device worker. */
  async #tearDown(): Promise<void> {
    this.#control.vcpuCommand = Command.STOP;
    if (this.#started) {
      const stopped = this.#vcpus.map((worker) => worker.stopped);
      this.#kick();
      await Promise.all(stopped);
    }
    this.#commandDevices(Command.STOP);
    await this.#devices?.stopped;
    this.#console.drainOutput();
    this.#resources.dispose();
  }

  #commandDevices(command: number): void {
    this.#control.deviceCommand = command;
    signalEventFd(this.#controlFd.fd);
  }

  #kick(): void {
    for (const id of this.#vcpus.keys()) {
      const tid = this.#control.threadOf(id);
      if (tid !== 0) kickThread(tid);
    }
  }
}
