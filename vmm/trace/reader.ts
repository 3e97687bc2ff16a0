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
    const { last = Infinity } = filter;
    this.#rings = vcpus.map(({ start }, id) => {
      const wanted = filter.vcpus?.includes(id) === false ? 0 : kinds;
      return new Ring(start.record, `vcpu ${id}`, wanted, devices, last);
    });
    if (deviceStart) {
      const { record } = deviceStart;
      const subjects = filter.devices && new Set(
        filter.devices.map((name) => devices.findIndex((d) => d.name === name)),
      );
      this.#rings.push(
        new Ring(record, "devices", kinds, devices, last, subjects),
      );
    }
  }

  /** What has come since the last time, of each thread in its order. */
  read(): TraceEvent[] {
    const { devices } = this.#filter;
    const all = this.#rings.flatMap((ring) => ring.read());
    // A vCPU's thread doesn't know whose registers it touches.
    return devices === undefined
      ? all
      : all.filter((event) =>
        event.type !== "exit" || devices.includes(event.device ?? "")
      );
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
  readonly #last: number;
  readonly #subjects: ReadonlySet<number> | undefined;
  readonly #copy = new Float64Array(EVENTS_KEPT * EVENT_DOUBLES);
  readonly #names = new Map<number, RegisterName | undefined>();
  #head: number;
  #number = 0;

  constructor(
    page: SharedArrayBuffer,
    thread: string,
    kinds: number,
    devices: readonly DeviceSpec[],
    last: number, // so many at once
    subjects?: ReadonlySet<number>, // default: all
  ) {
    this.#page = page;
    this.#last = last;
    this.#subjects = subjects;
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
    if (this.#wish.kinds === 0) {
      this.#head = this.#recorder.head;
      return [];
    }
    // Copied before it is looked at: the writer goes on meanwhile.
    const from = Math.max(0, count - EVENTS_KEPT);
    this.#take(first + from, count - from);
    count = from + this.#whole(count - from);
    const now = this.#recorder.head;
    // The place of the next event may be half written, too.
    const gone = (now - first + TWO_32) % TWO_32 + 1 - EVENTS_KEPT;
    const lost = Math.max(from, Math.min(gone, count));
    let more = 0; // than are wanted at once
    const wanted: number[] = [];
    for (let i = count - 1; i >= lost; i--) {
      if (!this.#wants((i - from) * EVENT_DOUBLES)) continue;
      if (wanted.length < this.#last) wanted.push(i);
      else more++;
    }
    const events: TraceEvent[] = [];
    if (lost + more > 0) {
      events.push(this.#lost(lost + more, this.#recorder.now()));
    }
    for (const i of wanted.reverse()) {
      const at = (i - from) * EVENT_DOUBLES;
      const event = this.#decode(at, this.#copy[at + 2]!, this.#number + i);
      if (event) events.push(event);
    }
    this.#head = (first + count) % TWO_32;
    this.#number += count;
    return events;
  }

  #wants(at: number): boolean {
    const kind = this.#copy[at + 2]!;
    if (kind === EventKind.TEXT || !(this.#wish.kinds & 1 << kind)) {
      return false;
    }
    return this.#subjects?.has(this.#copy[at + 3]!) ?? true;
  }

  /** Copies so many from event `index` on, in their order. */
  #take(index: number, count: number): void {
    const { events } = this.#recorder;
    const begin = index % EVENTS_KEPT;
    const first = Math.min(count, EVENTS_KEPT - begin);
    const part = (from: number, to: number) =>
      events.subarray(from * EVENT_DOUBLES, to * EVENT_DOUBLES);
    this.#copy.set(part(begin, begin + first));
    this.#copy.set(part(0, count - first), first * EVENT_DOUBLES);
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
