/**
 * A virtual machine: one worker per vCPU, one device worker, and this
 * isolate, which is never on a hot path.
 *
 * @module
 */
import { Alarm } from "../ffi/alarm.ts";
import { VireoError } from "../ffi/errno.ts";
import { buildMachine, devicesOf, type MachineParts } from "./build.ts";
import { resolve, type ResolvedConfig, type VmConfig } from "./config/mod.ts";
import { releasedInTime } from "./giving_up.ts";
import { HaltWatch } from "./halt_watch.ts";
import { Command } from "./control.ts";
import { MachineSnapshots } from "./machine_snapshots.ts";
import type { MachineOptions } from "./machine_options.ts";
import type { FirstBoot } from "./first_boot.ts";
import { firstBoot, openControl, restoring } from "./lazy.ts";
import { settle, snapshots } from "./lazy.ts";
import { deviceNamed } from "./device_channel.ts";
import { failureIn, isGuestsWish } from "./messages.ts";
import type { MachineEnd, WorkerMessage } from "./messages.ts";
import type { StepCounts } from "./refused.ts";
import type { Changes, Snapshot } from "./snapshot/mod.ts";
import { Turns } from "./turns.ts";
import type { MachineWorker } from "./worker_thread.ts";

/** How long a guest that is told something at once is let have it, in ms. */
const FIRST_WORDS = 2;

/** A virtual machine. */
export class Machine extends MachineSnapshots {
  readonly #config: ResolvedConfig;
  readonly #options: MachineOptions;
  #parts!: MachineParts; // from #made on
  readonly #end = Promise.withResolvers<MachineEnd>();
  readonly #steppedPast: StepCounts = {};
  /** The device worker, once it is there. */
  #devices: MachineWorker | undefined;
  #devicesReady: Promise<unknown> | undefined;
  #ready: Promise<unknown> | undefined; // every worker is at work
  #startTime = 0;
  #haltWatch: HaltWatch | undefined;
  readonly #turns = new Turns(); // of pauses, resumes and atRest
  #teardown: Promise<void> | undefined;
  /** The first line of the failure that the machine ended with, in brackets. */
  #failure = "";
  #late: MachineEnd | undefined; // a failure after the end

  private constructor(config: ResolvedConfig, options: MachineOptions) {
    super();
    this.#config = config;
    this.#options = options;
  }

  static async #made(
    config: ResolvedConfig,
    options: MachineOptions,
    boot?: FirstBoot,
  ): Promise<Machine> {
    const machine = new Machine(config, options);
    const early: WorkerMessage[] = []; // of a worker that can't load
    let tell = (message: WorkerMessage): void => void early.push(message);
    const onMessage = (message: WorkerMessage) => tell(message);
    machine.#parts = await buildMachine(config, boot, onMessage, options);
    tell = (message) => machine.#message(message);
    early.forEach(tell);
    return machine;
  }

  /**
   * Makes a machine that is ready to start: everything is open, and the
   * kernel is in memory.
   *
   * @throws {VireoError} each mistake in `config` in a line, or what can't be
   * had; nothing stays behind
   */
  static async create(
    config: VmConfig,
    options: MachineOptions = {},
  ): Promise<Machine> {
    return await Machine.fromResolved(resolve(config), options);
  }

  /**
   * {@linkcode Machine.create} for a configuration that is checked already.
   *
   * @internal
   */
  static async fromResolved(
    config: ResolvedConfig,
    options: MachineOptions = {},
  ): Promise<Machine> {
    const { FirstBoot } = await firstBoot();
    using boot = await FirstBoot.open(config, options.onLog);
    const machine = await Machine.#made(config, options, boot);
    if (options.forkable) {
      await (await snapshots()).makeForkable(machine, machine.#parts);
    }
    // Modules of the user's own may fail to load: that is to be known now.
    if (config.devices.some(({ kind, config }) => kind.early?.(config))) {
      await machine.#startDevicesNow();
    }
    return machine;
  }

  /**
   * Makes a machine that goes on, once it is started, as another one was: of
   * the same configuration, but for `overrides`, with devices by their names.
   *
   * @param from a snapshot, or a folder that one was saved in. Unless only the
   * caller can write to it, and it has not been moved, all that it names on the
   * host must be in `overrides`; modules always.
   * @throws {VireoError} something can't be had, or is of another kind
   */
  static async restore(
    from: Snapshot | string,
    overrides: Changes = {},
    options: MachineOptions = {},
  ): Promise<Machine> {
    const { restoreMachine } = await restoring();
    return await restoreMachine(from, overrides, async (config) => {
      const machine = await Machine.#made(config, options);
      const begin = () => machine.#startDevicesNow();
      const fail = (message: string) =>
        machine.#finish({ reason: "error", message });
      const ending = machine.#end.promise;
      return { machine, parts: machine.#parts, begin, fail, ending };
    }, options);
  }

  /** @internal */
  protected override get parts(): MachineParts {
    return this.#parts;
  }

  /**
   * Runs the guest from its entry point. Once per machine. If
   * {@linkcode pause} came before, the machine begins paused.
   *
   * @throws {VireoError} it was started already, or has ended
   */
  start(): void {
    if (this.life.state !== "created") {
      const ended = `the machine has ended${this.#failure}; `;
      const why = this.life.over ? ended : "";
      throw new VireoError(`${why}a machine starts only once`);
    }
    this.life.to("starting");
    this.#startTime = performance.now();
    const { vcpus, control } = this.#parts;
    const ready = vcpus.map(({ worker }) => worker.next("ready"));
    for (const { worker, start } of vcpus) worker.post(start);
    // The guest runs already: it waits for its devices when it gets there.
    const devices = this.#startDevicesSoon();
    if (this.life.over) return;
    this.#ready = Promise.all([...ready, devices]).then(() => {
      if (this.life.over) return;
      this.#parts.keepFiles();
      if (this.life.state === "starting") this.life.to("running");
      if (this.#options.control) openControl(this, this.#config, this.#options);
      if (!this.#options.keepProgram) settle(this.wait());
    });
    const halted = this.#parts.acpi
      ? this.#options.onHalted
      : () => this.#finish({ reason: "halt" });
    if (halted) this.#haltWatch = new HaltWatch(this.#parts, halted);
    if (control.vcpuCommand === Command.PAUSE) void this.pause();
  }

  /**
   * Stops all vCPUs, then the devices, until {@linkcode resume}. Before the
   * start it is remembered: the machine then begins paused. Pauses and resumes
   * happen in the order of their calls; the machine's end ends them all.
   *
   * @returns resolves when the machine is paused, or ends
   */
  pause(): Promise<void> {
    return this.#command(Command.PAUSE, () => this.#pause());
  }

  /**
   * Goes on after {@linkcode pause}, which is completed first.
   *
   * @returns resolves when the machine runs, or ends
   */
  resume(): Promise<void> {
    return this.#command(Command.RUN, () => this.#resume());
  }

  /** Ends the machine, whatever the guest is doing. */
  async stop(): Promise<MachineEnd> {
    this.#finish({ reason: "stopped" });
    return await this.wait();
  }

  /** Waits for the end; nothing is left but what the host doesn't let go. */
  async wait(): Promise<MachineEnd> {
    const first = await this.#end.promise;
    await this.#teardown;
    const end = isGuestsWish(first) ? this.#late ?? first : first;
    if (Object.keys(this.#steppedPast).length === 0) return end;
    return { ...end, stepped_past: this.#steppedPast };
  }

  /** Sends a device a command, in its own words, and returns what it answers. */
  override async command(device: string, command: unknown): Promise<unknown> {
    const index = deviceNamed(this.#parts.devices, device);
    return await this.#parts.channel.send(index, command);
  }

  /** `await using` support. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** @internal */
  protected override atRest<T>(
    what: string,
    work: (parts: MachineParts, config: ResolvedConfig) => Promise<T>,
  ): Promise<T> {
    return this.#turns.take(async () => {
      const before = this.life.state;
      await this.#pause();
      const { state } = this.life;
      if (state !== "paused") {
        throw new VireoError(`${what}: the machine is ${state}`);
      }
      try {
        return await work(this.#parts, this.#config);
      } finally {
        if (before !== "paused") await this.#resume();
      }
    });
  }

  /** Before the start, `command` is what the vCPUs will begin with. */
  #command(command: number, step: () => Promise<void>): Promise<void> {
    if (this.life.state !== "created") return this.#turns.take(step);
    this.#parts.control.vcpuCommand = command;
    return Promise.resolve();
  }

  /** vCPUs first: what they have asked of the devices is still answered. */
  async #pause(): Promise<void> {
    const { state } = this.life;
    if (state !== "starting" && state !== "running") return;
    this.life.to("pausing");
    const { control, vcpus } = this.#parts;
    const paused = vcpus.map(({ worker }) => worker.next("paused"));
    // Paused before the start, they may sleep already: not to be told twice.
    if (control.vcpuCommand !== Command.PAUSE) {
      control.vcpuCommand = Command.PAUSE;
      control.kick(vcpus.length);
    }
    await this.#unlessOver(Promise.all(paused));
    await this.#unlessOver(this.#ready);
    if (!this.life.over) await this.#unlessOver(this.pauseDevices());
    if (this.life.over) return;
    this.#parts.clock.stop();
    this.life.to("paused");
  }

  /** @internal */
  protected override async pauseDevices(): Promise<void> {
    const paused = this.#devices?.next("paused");
    this.#commandDevices(Command.PAUSE);
    await paused;
  }

  /** Devices first: what the vCPUs ask of them is answered at once. */
  async #resume(): Promise<void> {
    if (this.life.state === "starting") await this.#unlessOver(this.#ready);
    if (this.life.state !== "paused") return;
    this.life.to("resuming");
    if (this.#devices) {
      const devices = this.#devices.next("resumed");
      this.#commandDevices(Command.RUN);
      await this.#unlessOver(devices);
    }
    if (this.life.over) return;
    this.#parts.clock.goOn();
    this.#parts.control.vcpuCommand = Command.RUN;
    this.life.to("running");
  }

  async #unlessOver(event: Promise<unknown> | undefined): Promise<void> {
    await Promise.race([event, this.#end.promise]);
  }

  #startDevices(): void {
    const { deviceStart, deviceWorker } = this.#parts;
    if (this.#devices !== undefined || deviceStart === undefined) return;
    const onMessage = (message: WorkerMessage) => this.#message(message);
    try {
      this.#devices = deviceWorker ?? devicesOf(this.#options, onMessage);
    } catch (error) {
      return this.#finish({ reason: "error", message: String(error) });
    }
    this.#devicesReady = this.#devices.next("ready")
      .then(() => this.#parts.devicesReady());
    this.#devices.post(deviceStart);
  }

  /**
   * Starts the devices beside the guest. That holds this isolate up: one that is
   * in a hurry has what the guest is told at first out of the way.
   */
  async #startDevicesSoon(): Promise<void> {
    if (this.#options.early !== undefined && this.#devices === undefined) {
      await new Promise<void>((resolve) => new Alarm(FIRST_WORDS, resolve));
      if (this.life.over) return;
    }
    this.#startDevices();
    await this.#devicesReady;
  }

  /** Starts the devices before the guest, and throws what is wrong with them. */
  async #startDevicesNow(): Promise<void> {
    this.#startDevices();
    await this.#unlessOver(this.#devicesReady);
    if (!this.life.over) return;
    const { reason, message = reason } = await this.wait();
    throw new VireoError(message);
  }

  #message(message: WorkerMessage): void {
    switch (message.type) {
      case "output":
        return this.#parts.console.drainOutput();
      case "input-room":
        return this.#parts.console.pushInput();
      case "booted":
        return this.#options.onBooted?.(performance.now() - this.#startTime);
      case "commands":
        return this.#parts.channel.connect(message.port);
      case "answer":
        return this.#parts.channel.answered(message.answer);
      case "log":
        return this.#options.onLog?.(message.message);
      case "event":
        return this.#options.onEvent?.(message.event);
      case "debug-stop":
        return this.stoppedAt(message.id);
      case "end":
        return this.#finish(this.#parts.explained(message.end));
      case "stopped":
        for (const [name, count] of Object.entries(message.steppedPast ?? {})) {
          this.#steppedPast[name] = (this.#steppedPast[name] ?? 0) + count;
        }
    }
  }

  /** The first reason counts. */
  #finish(end: MachineEnd): void {
    if (this.life.over) return void (this.#late ??= failureIn(end));
    const started = this.life.state !== "created";
    if (started && end.reason !== "error") this.#parts.keepFiles();
    this.life.to("ending");
    this.#haltWatch?.[Symbol.dispose]();
    const { channel } = this.#parts;
    // Who looks at what is left may still ask the devices.
    if (!started || !this.#options.atEnd) channel.refuse();
    const log = (line: string) => this.#options.onLog?.(line);
    const released = this.#tearDown(started, end);
    const busy = () => this.showsRemains;
    this.#teardown = releasedInTime(released, this.#parts, log, busy)
      .finally(() => channel.close());
    const [line] = end.message?.split("\n") ?? [];
    if (end.reason === "error") this.#failure = ` (${line})`;
    this.#end.resolve(end);
  }

  /** vCPUs first: they may wait for the device worker. */
  async #tearDown(started: boolean, end: MachineEnd): Promise<void> {
    const { control, vcpus, console } = this.#parts;
    control.vcpuCommand = Command.STOP;
    if (started) {
      control.kick(vcpus.length);
      await Promise.all(vcpus.map(({ worker }) => worker.stopped));
      await this.showRemains(this.#parts, this.#config, this.#options, end);
    }
    this.#commandDevices(Command.STOP);
    await this.#devices?.stopped;
    this.#devices?.terminate();
    console.close();
    try {
      await this.#parts[Symbol.asyncDispose]();
    } finally {
      this.life.to("ended");
    }
  }

  #commandDevices(command: number): void {
    this.#parts.control.deviceCommand = command;
    this.#parts.controlFd.signal();
  }
}
