/**
 * Reads the events of a machine's threads out of their pages, and says how many
 * came too fast.
 *
 * @module
 */
import { ExitBits } from "../../ffi/kvm/exit_recorder.ts";
import { Exit } from "../../ffi/kvm/run.ts";
import { EVENT_DOUBLES, EVENTS_KEPT, Recorder } from "../../ffi/recorder.ts";
import type { MachineParts } from "../build.ts";
import type { DeviceSpec } from "../messages.ts";
import type { TraceEvent, TraceEventType, TraceFilter } from "./events.ts";
import {
  EventKind,
  REQUEST_TYPES,
  STEPS,
  TEXT_BYTES,
  TEXT_MAX,
} from "./layout.ts";
import { exitReason } from "./metrics.ts";
import { addressName, portName, type RegisterName } from "./names.ts";

const TWO_32 = 0x1_0000_0000;
const TEXT_PARTS = Math.ceil(TEXT_MAX / TEXT_BYTES);

const KINDS: Record<Exclude<TraceEventType, "lost">, number> = {
  exit: EventKind.EXIT,
  doorbell: EventKind.DOORBELL,
  request: EventKind.REQUEST,
  begin: EventKind.BEGIN,
  interrupt: EventKind.INTERRUPT,
  frame: EventKind.FRAME,
  step: EventKind.STEP,
  own: EventKind.OWN,
  state: EventKind.STATE,
};

/** All types of events that can be asked for. */
export const EVENT_TYPES = Object.keys(KINDS) as TraceEventType[];

/** Who wants what of each page: its writer is told what any of them wants. */
const wishes = new WeakMap<SharedArrayBuffer, Set<{ kinds: number }>>();

/** One reader of a machine's events. It sets what is recorded. */
export class TraceReader implements Disposable {
  readonly #rings: Ring[];
  readonly #filter: TraceFilter;

  /** Reads what `filter` wants, from now on. */
  constructor(
    { vcpus, devices, deviceStart }: MachineParts,
    filter: TraceFilter = {},
  ) {
    this.#filter = filter;
    const kinds = (filter.types ?? EVENT_TYPES).reduce(
      (bits, type) => type === "lost" ? bits : bits | 1 << KINDS[type],
      0,
    );
    this.#rings = vcpus.map(({ start }, id) =>
      new Ring(start.record, `vcpu ${id}`, kinds, devices)
    );
    if (deviceStart) {
      const { record } = deviceStart;
      this.#rings.push(new Ring(record, "devices", kinds, devices));
    }
  }

  /** What has come since the last time, of each thread in its order. */
  read(): TraceEvent[] {
    const { vcpus, devices } = this.#filter;
    const all = this.#rings.flatMap((ring) => ring.read());
    if (vcpus === undefined && devices === undefined) return all;
    return all.filter((event) => {
      switch (event.type) {
        case "lost":
        case "state":
          return true;
        case "exit":
          if (vcpus && !vcpus.includes(event.vcpu)) return false;
          return !devices || devices.includes(event.device ?? "");
        default:
          return !devices || devices.includes(event.device);
      }
    });
  }

  /** Wants nothing more. */
  [Symbol.dispose](): void {
    for (const ring of this.#rings) ring[Symbol.dispose]();
  }
}

/** One thread's. */
class Ring implements Disposable {
  readonly #page: SharedArrayBuffer;
  readonly #recorder: Recorder;
  readonly #thread: string;
  readonly #devices: readonly DeviceSpec[];
  readonly #wish: { kinds: number };
  readonly #copy = new Float64Array(EVENTS_KEPT * EVENT_DOUBLES);
  readonly #names = new Map<number, RegisterName | undefined>();
  #head: number;
  #number = 0;

  constructor(
    page: SharedArrayBuffer,
    thread: string,
    kinds: number,
    devices: readonly DeviceSpec[],
  ) {
    this.#page = page;
    this.#recorder = new Recorder(page);
    this.#thread = thread;
    this.#devices = devices;
    this.#wish = { kinds };
    this.#head = this.#recorder.head;
    const all = wishes.get(page) ?? new Set();
    wishes.set(page, all.add(this.#wish));
    this.#tell();
  }

  [Symbol.dispose](): void {
    wishes.get(this.#page)?.delete(this.#wish);
    this.#tell();
  }

  #tell(): void {
    let kinds = 0;
    for (const wish of wishes.get(this.#page) ?? []) kinds |= wish.kinds;
    this.#recorder.wanted = kinds;
  }

  read(): TraceEvent[] {
    const first = this.#head;
    let count = (this.#recorder.head - first + TWO_32) % TWO_32;
    if (count === 0) return [];
    // Copied before it is looked at: the writer goes on meanwhile.
    const from = Math.max(0, count - EVENTS_KEPT);
    for (let i = from; i < count; i++) this.#take(first + i, i - from);
    count = from + this.#whole(count - from);
    const now = this.#recorder.head;
    // The place of the next event may be half written, too.
    const gone = (now - first + TWO_32) % TWO_32 + 1 - EVENTS_KEPT;
    const lost = Math.max(from, Math.min(gone, count));
    const events: TraceEvent[] = [];
    if (lost > 0) events.push(this.#lost(lost, this.#recorder.now()));
    const { kinds } = this.#wish;
    for (let i = Math.max(lost, 0); i < count; i++) {
      const at = (i - from) * EVENT_DOUBLES;
      const kind = this.#copy[at + 2]!;
      if (kind === EventKind.TEXT || !(kinds & 1 << kind)) continue;
      const event = this.#decode(at, kind, this.#number + i);
      if (event) events.push(event);
    }
    this.#head = (first + count) % TWO_32;
    this.#number += count;
    return events;
  }

  #take(index: number, to: number): void {
    const from = (index % EVENTS_KEPT) * EVENT_DOUBLES;
    const source = this.#recorder.events;
    const target = to * EVENT_DOUBLES;
    for (let i = 0; i < EVENT_DOUBLES; i++) {
      this.#copy[target + i] = source[from + i]!;
    }
  }

  /** How many there are before an event whose text is not all there yet. */
  #whole(count: number): number {
    for (let i = count - 1; i >= 0 && i >= count - TEXT_PARTS - 1; i--) {
      const at = i * EVENT_DOUBLES;
      const kind = this.#copy[at + 2]!;
      if (kind === EventKind.TEXT) continue;
      const texts = kind === EventKind.STEP || kind === EventKind.OWN;
      const parts = texts ? Math.ceil(this.#copy[at + 5]! / TEXT_BYTES) : 0;
      return i + parts < count ? count : i;
    }
    return count;
  }

  #lost(count: number, time: number): TraceEvent {
    const number = this.#number;
    return { type: "lost", time, number, thread: this.#thread, count };
  }

  #decode(at: number, kind: number, number: number): TraceEvent | undefined {
    const [time, duration, , subject, a, b, c, d] = this.#copy
      .subarray(at, at + EVENT_DOUBLES) as unknown as [
        ...[number, number, number, number, number, number, number, number],
      ];
    if (kind === EventKind.EXIT) {
      const of = {
        type: "exit",
        time,
        number,
        vcpu: subject,
        duration,
      } as const;
      return { ...of, ...this.#exit(a, b, c, d) };
    }
    const device = this.#devices[subject]?.name ?? `${subject}`;
    switch (kind) {
      case EventKind.DOORBELL:
        return { type: "doorbell", time, number, device, queue: a };
      case EventKind.INTERRUPT:
        return { type: "interrupt", time, number, device, queue: a };
      case EventKind.FRAME:
        return { type: "frame", time, number, device, queue: a, bytes: b };
      case EventKind.BEGIN:
      case EventKind.REQUEST: {
        const request = REQUEST_TYPES[a >> 8 & 0xff]!;
        const of = { time, number, device, queue: a & 0xff, request };
        const what = { ...of, sector: b, bytes: c };
        if (kind === EventKind.BEGIN) return { type: "begin", ...what };
        const status = a >> 16 === 0xff ? undefined : a >> 16;
        const doorbell = d || undefined;
        return { type: "request", ...what, duration, status, doorbell };
      }
      case EventKind.STEP: {
        const why = this.#text(at, b);
        return { type: "step", time, number, device, step: STEPS[a]!, why };
      }
      case EventKind.OWN: {
        const name = this.#text(at, b);
        return { type: "own", time, number, device, name, value: a };
      }
    }
  }

  #exit(bits: number, address: number, value: number, count: number) {
    const number = bits & 0xff;
    const reason = exitReason(number);
    if (number !== Exit.MMIO && number !== Exit.IO) return { reason };
    const write = (bits & ExitBits.WRITE) !== 0;
    const size = bits >> ExitBits.SIZE_SHIFT;
    const name = this.#nameOf(number, address, write);
    return { reason, ...name, address, size, write, value, count };
  }

  /** A driver may move a BAR: then the name is of where it was at first. */
  #nameOf(reason: number, address: number, write: boolean) {
    const key = address * 4 + (reason === Exit.IO ? 2 : 0) + (write ? 1 : 0);
    if (!this.#names.has(key)) {
      // A hostile guest touches everything: names are no reason to grow.
      if (this.#names.size > 4096) this.#names.clear();
      this.#names.set(
        key,
        reason === Exit.IO
          ? portName(address, write)
          : addressName(this.#devices, address),
      );
    }
    return this.#names.get(key);
  }

  /** The text of so many bytes that follows the event at `at`. */
  #text(at: number, length: number): string {
    const bytes = new Uint8Array(length);
    for (let done = 0, i = at; done < length; done += TEXT_BYTES) {
      i += EVENT_DOUBLES;
      if (this.#copy[i + 2] !== EventKind.TEXT) break;
      const part = new Uint8Array(this.#copy.buffer, (i + 4) * 8, TEXT_BYTES);
      bytes.set(part.subarray(0, length - done), done);
    }
    return new TextDecoder().decode(bytes);
  }
}
