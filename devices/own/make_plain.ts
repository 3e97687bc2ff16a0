/**
 * Makes the device worker's end of a plain device: it answers accesses, or
 * keeps what those share who answer on the vCPUs.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { drainEventFd } from "../../ffi/eventfd.ts";
import { VmEvents } from "../../ffi/kvm/vm_events.ts";
import type { Watcher } from "../runtime/event_loop.ts";
import type { DeviceContext, VirtioDevice } from "../virtio/device.ts";
import type { Maker } from "../virtio/maker.ts";
import { featureWords } from "../virtio/spec.ts";
import { OwnCode } from "./code.ts";
import { loadPlain } from "./load_plain.ts";
import { whenKept, whoPromised } from "./outstanding.ts";
import { plainContext } from "./plain_context.ts";
import {
  nothing,
  type PlainDevice,
  PlainInterrupt,
  type PlainPlace,
  PlainWord,
  readValue,
} from "./plain.ts";

/** The device, to the thread one of virtio that has no queue. */
export const make: Maker<PlainPlace> = async (place, context) => {
  const vm = new VmEvents(context.vmFd);
  const interrupt = new PlainInterrupt(place, (gsi, on) => vm.irqLine(gsi, on));
  const device = await loadPlain(place); // on vCPUs, too: it is to be told
  const own = new OwnCode(place.name, place.module, context);
  return place.thread === "device"
    ? new PlainEnd(place, device, own, interrupt)
    : new SharedEnd(place, interrupt);
};

/** What neither of both has of a virtio device. */
abstract class End implements VirtioDevice {
  /** None of virtio's. */
  readonly deviceId = 0xffff_ffff;
  readonly features = featureWords();
  readonly queueSizes = [];
  readonly config = new Uint8Array();
  protected readonly place: PlainPlace;
  protected readonly interrupt: PlainInterrupt;

  constructor(place: PlainPlace, interrupt: PlainInterrupt) {
    this.place = place;
    this.interrupt = interrupt;
  }

  attach(_context: DeviceContext): void {}
  activate(): void {}
  notify(): void {}
  reset(): void {}
  close(): void {}
  quiesce(): void {}

  save(): SavedPlain {
    const words = new Int32Array(this.place.page);
    const shared = new Uint8Array(this.place.shared).slice();
    return { level: words[PlainWord.LEVEL]!, shared: shared.toBase64() };
  }

  restore(saved: unknown): void {
    const { level, shared } = (saved ?? {}) as Partial<SavedPlain>;
    const room = new Uint8Array(this.place.shared);
    if (typeof shared !== "string" || (level !== 0 && level !== 1)) {
      throw new VireoError("no such state");
    }
    let bytes: Uint8Array | undefined;
    try {
      bytes = Uint8Array.fromBase64(shared);
    } catch { /* below */ }
    if (bytes?.length !== room.length) throw new VireoError("no such state");
    room.set(bytes);
    if (level === 1) this.interrupt.raise();
    else this.interrupt.lower();
  }
}

/** What is saved of one. */
interface SavedPlain {
  level: number;
  shared: string;
  state?: unknown;
}

/** Of a device that answers on the vCPUs. */
class SharedEnd extends End {}

/** Of a device that answers here. */
class PlainEnd extends End implements Watcher {
  readonly #device: PlainDevice;
  readonly #own: OwnCode;
  readonly #words: Int32Array;

  constructor(
    place: PlainPlace,
    device: PlainDevice,
    own: OwnCode,
    interrupt: PlainInterrupt,
  ) {
    super(place, interrupt);
    this.#device = device;
    this.#own = own;
    this.#words = new Int32Array(place.page);
  }

  override attach(context: DeviceContext): void {
    const own = this.#own;
    own.attach(context, (reason) => own.complain(reason));
    this.#device.attach?.(plainContext(own, this.place, this.interrupt));
    context.watch(this.place.requestFd, this);
  }

  /** A vCPU waits for an access. */
  onReady(): void {
    drainEventFd(this.place.requestFd);
    const words = this.#words;
    const asked = Atomics.load(words, PlainWord.ASKED);
    if (asked === words[PlainWord.ANSWERED]) return;
    const size = words[PlainWord.SIZE]!;
    let value: unknown;
    try {
      value = this.#access(words[PlainWord.OFFSET]!, size);
      if (!(value instanceof Promise)) return this.#answer(asked, size, value);
    } catch (error) {
      return this.#failed(asked, size, error);
    }
    whenKept(
      this.place.name,
      value,
      (value) => this.#answer(asked, size, value),
      (error) => this.#failed(asked, size, error),
    );
  }

  override quiesce(): void {
    const { name } = this.place;
    if (whoPromised().includes(name)) {
      throw new VireoError("can't be saved: it has not kept a promise");
    }
    if (this.#device.save === undefined) {
      throw new VireoError("can't be saved: the device has no save()");
    }
  }

  override save(): SavedPlain {
    return { ...super.save(), state: this.#device.save!() };
  }

  override restore(saved: unknown): void {
    super.restore(saved);
    this.#device.restore?.((saved as SavedPlain).state);
  }

  command(command: unknown): unknown {
    if (this.#device.command === undefined) {
      throw new VireoError(`${this.place.name}: no commands`);
    }
    return this.#own.answer(this.#device.command(command));
  }

  override close(): void {
    this.#own.close();
    this.#device.close?.();
  }

  #access(offset: number, size: number): unknown {
    const words = this.#words;
    if (words[PlainWord.WRITE] === 0) return this.#device.read(offset, size);
    const value = words[PlainWord.VALUE]! >>> 0;
    return this.#device.write(offset, size, value);
  }

  /** An access that the vCPU has given up is nobody's. */
  #answer(asked: number, size: number, value: unknown): void {
    const words = this.#words;
    if (Atomics.load(words, PlainWord.ASKED) !== asked) return;
    if (words[PlainWord.WRITE] === 0) {
      words[PlainWord.VALUE] = readValue(value, size);
    }
    Atomics.store(words, PlainWord.ANSWERED, asked);
    Atomics.notify(words, PlainWord.ANSWERED);
  }

  #failed(asked: number, size: number, error: unknown): void {
    this.#own.fail(error);
    this.#answer(asked, size, nothing(size) | 0);
  }
}
