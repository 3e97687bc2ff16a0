/**
 * The devices of one machine, on the device worker: made and connected to KVM,
 * all or nothing, then served until the machine ends.
 *
 * @module
 */
import { EventLoop } from "../devices/runtime/event_loop.ts";
import { type Polled, PollWindow } from "../devices/runtime/poll_window.ts";
import type { SavedDevice, VirtioDevice } from "../devices/virtio/device.ts";
import type { Maker, MakerContext } from "../devices/virtio/maker.ts";
import { DeviceState } from "../devices/virtio/transport/device_state.ts";
import { ActivatedDevice } from "../devices/virtio/transport/activated_device.ts";
import { drainEventFd, EventFd } from "../ffi/eventfd.ts";
import { VireoError } from "../ffi/error.ts";
import { GuestMemory } from "../guest/memory.ts";
import { type Connection, connectorOf } from "./connection.ts";
import { Command, Control } from "./control.ts";
import { DeviceCommands } from "./device_channel.ts";
import type {
  AllCommand,
  DeviceSpec,
  DeviceWorkerStart,
  WorkerMessage,
} from "./messages.ts";
import type { OwnTurns } from "./own_turns.ts";

type Recording = typeof import("./trace/device_recorder.ts");
type Packed = typeof import("../devices/virtio/queue/packed.ts");
/** Tells the main isolate. */
type Post = (message: WorkerMessage) => void;

/** The devices of one machine, and their loop. */
export class DeviceThread implements Disposable, Polled {
  readonly control: Control;
  readonly #controlFd: number;
  readonly commands: DeviceCommands;
  readonly #activated: readonly ActivatedDevice[];
  readonly #connections: readonly Connection[];
  readonly #memory: GuestMemory;
  readonly #names: readonly string[];
  readonly #window: PollWindow;
  readonly loop: EventLoop;
  readonly paused: EventLoop; // only what may happen while they are paused
  readonly #post: Post;
  readonly #own: OwnTurns | undefined; // there is code of the user's
  #parts = new DisposableStack();
  #resting = false; // devices that were saved or restored begin when they go on

  private constructor(
    start: DeviceWorkerStart,
    post: Post,
    loop: EventLoop,
    paused: EventLoop,
    memory: GuestMemory,
    devices: readonly [ActivatedDevice, Connection][],
    own: OwnTurns | undefined,
    commands: MessagePort,
  ) {
    this.control = new Control(start.control);
    this.#controlFd = start.controlFd;
    this.commands = new DeviceCommands(commands, this.control, post, {
      all: (command) => this.#all(command),
      one: (index, command) => this.#activated[index]!.command(command),
    });
    this.#window = new PollWindow(start.pollMicroseconds);
    this.loop = loop;
    this.paused = paused;
    this.#memory = memory;
    this.#activated = devices.map(([activated]) => activated);
    this.#connections = devices.map(([, connection]) => connection);
    this.#names = start.devices.map(({ name }) => name);
    this.#post = post;
    this.#own = own;
  }

  /**
   * Makes the devices, and connects their doorbells and interrupts to KVM.
   *
   * @param commands {@linkcode DeviceCommand}s come here
   * @throws {Error} what is wrong with one; the others are closed
   */
  static async make(
    start: DeviceWorkerStart,
    post: Post,
    commands: MessagePort,
  ): Promise<DeviceThread> {
    const log = (message: string) => post({ type: "log", message });
    using parts = new DisposableStack(); // unless all of them are there
    const loop = parts.use(new EventLoop());
    const paused = parts.use(new EventLoop());
    const memory = GuestMemory.attach(start.memory);
    const record: Promise<Recording> = import(RECORD);
    const devices = await makeDevices(start.devices, {
      memory,
      log,
      vmFd: start.vmFd,
      emit: (event) => post({ type: "event", event }),
      console: {
        outputReady: () => post({ type: "output" }),
        inputRoom: () => post({ type: "input-room" }),
      },
    });
    // A device is its activated's to close, once it has one.
    const loose = new Set(devices);
    parts.defer(() => closeAll(loose));
    const connect = await connectorOf(start, log);
    const packed: Packed | undefined = start.packed
      ? await import(PACKED)
      : undefined;
    const { recorderOf } = await record;
    const eventFd = () => parts.use(new EventFd());
    const connected = devices.map((device, index) => {
      const spec = start.devices[index]!;
      // Before the activated: once it has described the device, a driver that
      // is waiting for it may ring.
      const doorbells = device.queueSizes.map(eventFd);
      const connection = connect(spec, device, doorbells, eventFd);
      const activated = new ActivatedDevice(device, {
        state: new DeviceState(spec.state),
        memory,
        loop,
        packed: packed?.PackedQueue,
        restored: spec.saved !== undefined,
        record: recorderOf(start.record, index),
        raiseInterrupt: (source) => connection.raise(source),
        transportChanged: () => connection.changed(),
        activated: () => connection.activated?.(),
        log: (message) => log(`${spec.name}: ${message}`),
      });
      loose.delete(device);
      parts.defer(() => activated.close());
      doorbells.forEach(({ fd }, index) => activated.watchDoorbell(index, fd));
      return [activated, connection] as [ActivatedDevice, Connection];
    });
    const own = start.devices.some(({ own }) => own)
      ? parts.use(await ownTurns(loop.fd, start.pollMicroseconds, log))
      : undefined;
    const thread = new DeviceThread(
      start,
      post,
      loop,
      paused,
      memory,
      connected,
      own,
      commands,
    );
    thread.#restore(start.devices.map(({ saved }) => saved));
    loop.watch(start.controlFd, thread);
    paused.watch(start.controlFd, thread);
    thread.#parts = parts.move();
    return thread;
  }

  /** Serves the devices until the main isolate says stop. */
  async run(): Promise<void> {
    const control = this.control;
    this.commands.begin();
    this.goOn();
    for (;;) {
      if (control.deviceCommand === Command.STOP) return;
      if (this.commands.waiting) await this.commands.serve();
      const pause = control.devicePause;
      if (pause !== 0) {
        await this.#own?.settle(() => {
          this.#turn();
          return control.devicePause === pause;
        });
        this.#post({ type: "paused" });
        while (control.devicePause === pause) {
          if (this.commands.waiting) await this.commands.serve();
          else await (this.#own?.rest(this.paused) ?? this.paused.turn(-1));
        }
        this.goOn();
        this.#post({ type: "resumed" });
      } else if (this.#own === undefined) this.#window.wait(this, this.loop);
      else await this.#own.turn(this.#turn(), () => this.enable());
    }
  }

  /** Does what there is to do. */
  #turn(): boolean {
    return this.loop.turn(0) > 0 || this.poll();
  }

  get interrupted(): boolean {
    return this.control.deviceCommand !== Command.RUN || this.commands.waiting;
  }

  poll(): boolean {
    let worked = false;
    for (let i = 0; i < this.#activated.length; i++) {
      if (this.#activated[i]!.poll()) worked = true;
    }
    return worked;
  }

  enable(): boolean {
    let work = false;
    for (let i = 0; i < this.#activated.length; i++) {
      if (this.#activated[i]!.enable()) work = true;
    }
    return work;
  }

  #all(command: AllCommand): unknown {
    switch (command.type) {
      case "save":
        this.#resting = true;
        return this.#activated.map((activated, index) =>
          inNameOf(this.#names[index]!, () => activated.save())
        );
      case "let-go":
        return this.#activated.forEach((activated) => activated.reset());
      case "restore":
        if (command.overImage) this.#memory.liesOverImage();
        return this.#restore(command.saved);
      case "over-image":
        return this.#memory.liesOverImage();
    }
  }

  #restore(all: readonly (SavedDevice | undefined)[]): void {
    all.forEach((saved, index) => {
      if (saved === undefined) return;
      this.#resting = true;
      const connection = this.#connections[index]!;
      inNameOf(this.#names[index]!, () => {
        connection.restore?.(saved);
        this.#activated[index]!.restore(saved);
        connection.changed(); // of what is pending now
      });
    });
  }

  goOn(): void {
    if (!this.#resting) return;
    this.#resting = false;
    for (const activated of this.#activated) activated.resume();
  }

  /** The control eventfd: run or pause, a transport's request; commands wait. */
  onReady(): void {
    drainEventFd(this.#controlFd);
    for (const activated of this.#activated) activated.serve();
  }

  /** Closes the devices and all that was made for them. */
  [Symbol.dispose](): void {
    this.#parts.dispose();
  }
}

/** Does `step` of a device, whose name is in front of what it throws. */
function inNameOf<T>(name: string, step: () => T): T {
  try {
    return step();
  } catch (cause) {
    const text = cause instanceof VireoError ? cause.message : String(cause);
    throw new VireoError(`${name}: ${text}`, { cause });
  }
}

/** Loads the maker of the device's kind: a thread keeps what it has loaded. */
async function makeDevice(
  { make: url, data }: DeviceSpec,
  context: MakerContext,
): Promise<VirtioDevice> {
  const { make }: { make: Maker<unknown> } = await import(url);
  return await make(data, context);
}

/** All devices, or none. */
async function makeDevices(
  specs: readonly DeviceSpec[],
  context: MakerContext,
): Promise<VirtioDevice[]> {
  const all = await Promise.allSettled(
    specs.map((spec) => makeDevice(spec, context)),
  );
  const made = all.flatMap((one) =>
    one.status === "fulfilled" ? [one.value] : []
  );
  const failed = all.find((one) => one.status === "rejected");
  if (failed === undefined) return made;
  closeAll(made);
  throw failed.reason;
}

/** Closes devices that were never attached. */
function closeAll(devices: Iterable<VirtioDevice>): void {
  using stack = new DisposableStack(); // one's failure keeps no other open
  for (const device of devices) stack.defer(() => device.close());
}

/** Not literals in `import()`: those are read at the start, needed or not. */
const PACKED =
  new URL("../devices/virtio/queue/packed.ts", import.meta.url).href;
const OWN_TURNS = new URL("./own_turns.ts", import.meta.url).href;
const RECORD = new URL("./trace/device_recorder.ts", import.meta.url).href;

async function ownTurns(
  ...of: ConstructorParameters<typeof OwnTurns>
): Promise<OwnTurns> {
  const { OwnTurns }: typeof import("./own_turns.ts") = await import(OWN_TURNS);
  return new OwnTurns(...of);
}
