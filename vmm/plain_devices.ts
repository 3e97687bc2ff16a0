/**
 * Plain devices of the user's own, as a vCPU's thread sees them. Loaded for a
 * machine that has one.
 *
 * @module
 */
import type { Bus, BusDevice } from "../devices/bus.ts";
import { OwnCode } from "../devices/own/code.ts";
import { loadPlain } from "../devices/own/load_plain.ts";
import { plainContext } from "../devices/own/plain_context.ts";
import {
  nothing,
  type PlainDevice,
  PlainInterrupt,
  type PlainPlace,
  PlainWord,
  readValue,
} from "../devices/own/plain.ts";
import type { MakerContext } from "../devices/virtio/maker.ts";
import { VireoError } from "../ffi/error.ts";
import { signalEventFd } from "../ffi/eventfd.ts";
import { VmEvents } from "../ffi/kvm/vm_events.ts";
import { GuestMemory } from "../guest/memory.ts";
import type { VcpuWorkerStart, WorkerMessage } from "./messages.ts";

/** Milliseconds between two looks whether the machine ends. */
const LOOK = 50;
/** Lines of one vCPU about a device that doesn't answer. */
const LOG_MAX = 5;

/** Puts devices on the buses of a vCPU. */
export type AddPlain = (buses: { ports: Bus; mmio: Bus }) => void;

/**
 * Makes them.
 *
 * @throws {VireoError} a module can't be loaded, or has no such class
 */
export async function plainDevices(
  { plain, vmFd, memory: regions }: VcpuWorkerStart,
  post: (message: WorkerMessage) => void,
  stopping: () => boolean,
): Promise<AddPlain> {
  const vm = new VmEvents(vmFd);
  const log = (message: string) => post({ type: "log", message });
  let memory: GuestMemory | undefined;
  const context: MakerContext = {
    get memory() {
      return memory ??= GuestMemory.attach(regions);
    },
    vmFd,
    console: undefined!,
    log,
    emit: (event) => post({ type: "event", event }),
  };
  const made = await Promise.all(plain!.map(async (place) => {
    if (place.thread === "device") return new Distant(place, log, stopping);
    const own = new OwnCode(place.name, place.module, context);
    const device = await loadPlain(place);
    const line = (gsi: number, on: boolean) => vm.irqLine(gsi, on);
    own.attach(NO_LOOP, (reason) => own.complain(reason));
    device.attach?.(plainContext(own, place, new PlainInterrupt(place, line)));
    return new Near(device, own);
  }));
  return ({ ports, mmio }) =>
    made.forEach((device, index) => {
      const { space, address, size } = plain![index]!;
      (space === "port" ? ports : mmio).add(address, size, device);
    });
}

const noLoop = (): never => {
  throw new VireoError("a device on a vCPU has no timers and descriptors");
};
const NO_LOOP = { watch: noLoop, modifyWatch: noLoop, unwatch: noLoop };

/** A device that answers here. */
class Near implements BusDevice {
  readonly #device: PlainDevice;
  readonly #own: OwnCode;

  constructor(device: PlainDevice, own: OwnCode) {
    this.#device = device;
    this.#own = own;
  }

  read(offset: number, size: number): number {
    try {
      return readValue(this.#device.read(offset, size), size);
    } catch (error) {
      this.#own.fail(error);
      return nothing(size);
    }
  }

  write(offset: number, size: number, value: number): void {
    try {
      this.#device.write(offset, size, value);
    } catch (error) {
      this.#own.fail(error);
    }
  }
}

/** A device that answers on the device worker: this thread waits for it. */
class Distant implements BusDevice {
  readonly #place: PlainPlace;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #log: (message: string) => void;
  readonly #stopping: () => boolean;
  #logged = 0;

  constructor(
    place: PlainPlace,
    log: (message: string) => void,
    stopping: () => boolean,
  ) {
    this.#place = place;
    this.#words = new Int32Array(place.page);
    this.#log = log;
    this.#stopping = stopping;
  }

  read(offset: number, size: number): number {
    const words = this.#words;
    if (!this.#lock()) return nothing(size);
    const answered = this.#ask(offset, size, 0, 0);
    const value = words[PlainWord.VALUE]! >>> 0;
    this.#unlock();
    return answered ? value : nothing(size);
  }

  write(offset: number, size: number, value: number): void {
    if (!this.#lock()) return;
    this.#ask(offset, size, 1, value);
    this.#unlock();
  }

  /** False when there is no answer. */
  #ask(offset: number, size: number, write: number, value: number): boolean {
    const words = this.#words;
    words[PlainWord.OFFSET] = offset;
    words[PlainWord.SIZE] = size;
    words[PlainWord.WRITE] = write;
    words[PlainWord.VALUE] = value;
    const asked = Atomics.add(words, PlainWord.ASKED, 1) + 1 | 0;
    signalEventFd(this.#place.requestFd);
    const { timeout } = this.#place;
    const look = Math.min(LOOK, timeout);
    let waited = 0;
    for (;;) {
      const answered = Atomics.load(words, PlainWord.ANSWERED);
      if (answered === asked) return true;
      if (this.#stopping()) return false;
      if (waited >= timeout) return this.#giveUp(offset, write);
      const end = Atomics.wait(words, PlainWord.ANSWERED, answered, look);
      if (end === "timed-out") waited += look;
    }
  }

  /** What is answered from now on is too late. */
  #giveUp(offset: number, write: number): false {
    Atomics.add(this.#words, PlainWord.ASKED, 1);
    const what = write === 1 ? "write" : "read";
    if (this.#logged++ < LOG_MAX) {
      this.#log(
        `${this.#place.name}: has not answered a ${what} at 0x` +
          `${offset.toString(16)} for ${this.#place.timeout / 1000} s; ` +
          "the vCPU goes on",
      );
    }
    return false;
  }

  /** One vCPU at a time; false when the machine ends meanwhile. */
  #lock(): boolean {
    const words = this.#words;
    while (Atomics.compareExchange(words, PlainWord.LOCK, 0, 1) !== 0) {
      if (this.#stopping()) return false;
      Atomics.wait(words, PlainWord.LOCK, 1, LOOK);
    }
    return true;
  }

  #unlock(): void {
    Atomics.store(this.#words, PlainWord.LOCK, 0);
    Atomics.notify(this.#words, PlainWord.LOCK, 1);
  }
}
