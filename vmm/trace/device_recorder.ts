/**
 * Counts what a device does and, while somebody wants that, records it, in the
 * device worker's page.
 *
 * @module
 */
import type {
  DeviceRecord,
  DeviceStep,
} from "../../devices/virtio/device_record.ts";
import { NET_HEADER_SIZE } from "../../devices/virtio/net/spec.ts";
import type { VirtQueue } from "../../devices/virtio/queue/queue.ts";
import { Errno } from "../../ffi/errno.ts";
import {
  EVENT_DOUBLES,
  Recorder,
  SUBJECT_COUNTERS,
} from "../../ffi/recorder.ts";
import {
  DeviceCounter,
  EventKind,
  latencyBucket,
  QUEUE_COUNTERS,
  QueueCounter,
  QUEUES_AT,
  REQUEST_COUNTERS,
  RequestCounter,
  REQUESTS_AT,
  requestType,
  STEPS,
  TEXT_BYTES,
  TEXT_MAX,
} from "./layout.ts";

/** Requests that a device may have in flight; their tags are below it. */
const TAGS = 256;
/** Whose time {@linkcode DeviceRecorder} has last asked for. */
const Asked = { NOBODY: 0, BEGIN: 1, END: 2 } as const;

/** One device's, on the device worker. */
export class DeviceRecorder implements DeviceRecord {
  readonly #recorder: Recorder;
  readonly #device: number;
  readonly #counts: Float64Array;
  // Requests in flight, by their tags. A start of 0: none.
  readonly #start = new Float64Array(TAGS);
  readonly #sector = new Float64Array(TAGS);
  readonly #bytes = new Float64Array(TAGS);
  readonly #queue = new Uint8Array(TAGS);
  readonly #type = new Uint8Array(TAGS);
  readonly #cause = new Float64Array(TAGS);
  // Requests of a batch have one time: [0] is it, [1] the doorbell's, or 0.
  readonly #times = new Float64Array(2);
  #asked: number = Asked.NOBODY;
  #inFlight = 0;

  /** Records as the device of this number. */
  constructor(recorder: Recorder, device: number) {
    this.#recorder = recorder;
    this.#device = device;
    const first = device * SUBJECT_COUNTERS;
    this.#counts = recorder.counts.subarray(first, first + SUBJECT_COUNTERS);
  }

  served(queue: number, rung: boolean): void {
    const counter = rung ? QueueCounter.DOORBELLS : QueueCounter.POLLS;
    this.#counts[place(queue, counter)]!++;
    this.#asked = Asked.NOBODY;
    this.#times[1] = 0;
    if (!rung || !this.#wants(EventKind.DOORBELL)) return;
    // What is found by it begins with it, too: one stamp for both.
    const now = this.#timeOf(Asked.BEGIN);
    this.#times[1] = now;
    this.#event(now, 0, EventKind.DOORBELL, queue, 0, 0, 0);
  }

  published({ index, pushed }: VirtQueue): void {
    this.#counts[place(index, QueueCounter.CHAINS)] = pushed;
    this.#asked = Asked.NOBODY;
  }

  interrupted(source: number): void {
    const counter = source < 0
      ? DeviceCounter.CONFIG_INTERRUPTS
      : place(source, QueueCounter.INTERRUPTS);
    this.#counts[counter]!++;
    if (!this.#wants(EventKind.INTERRUPT)) return;
    const now = this.#recorder.now();
    this.#event(now, 0, EventKind.INTERRUPT, source, 0, 0, 0);
  }

  began(
    tag: number,
    queue: number,
    type: number,
    sector: number,
    bytes: number,
  ): void {
    const now = this.#timeOf(Asked.BEGIN);
    this.#start[tag] = now;
    this.#sector[tag] = sector;
    this.#bytes[tag] = bytes;
    this.#queue[tag] = queue;
    this.#type[tag] = requestType(type);
    this.#cause[tag] = this.#times[1]!;
    this.#counts[DeviceCounter.IN_FLIGHT] = ++this.#inFlight;
    if (!this.#wants(EventKind.BEGIN)) return;
    const what = queue | this.#type[tag]! << 8;
    this.#event(now, 0, EventKind.BEGIN, what, sector, bytes, tag);
  }

  ended(tag: number, status: number): void {
    const start = this.#start[tag]!;
    if (start === 0) return; // it was none
    this.#start[tag] = 0;
    this.#counts[DeviceCounter.IN_FLIGHT] = --this.#inFlight;
    const time = this.#timeOf(Asked.END) - start;
    const bytes = this.#bytes[tag]!;
    const type = this.#type[tag]!;
    const counts = this.#counts;
    const at = REQUESTS_AT + type * REQUEST_COUNTERS;
    counts[at + RequestCounter.REQUESTS]!++;
    if (status === 0) counts[at + RequestCounter.BYTES]! += bytes;
    else counts[at + RequestCounter.ERRORS]!++;
    counts[at + RequestCounter.TIME]! += time;
    counts[at + RequestCounter.BUCKETS + latencyBucket(time)]!++;
    if (!this.#wants(EventKind.REQUEST)) return;
    const what = this.#queue[tag]! | type << 8 | (status & 0xff) << 16;
    const sector = this.#sector[tag]!;
    const cause = this.#cause[tag]!;
    this.#event(start, time, EventKind.REQUEST, what, sector, bytes, cause);
  }

  frames(queue: number, lengths: Int32Array, count: number): void {
    const at = place(queue, 0);
    let bytes = 0;
    let frames = 0;
    let later = 0;
    for (let i = 0; i < count; i++) {
      const length = lengths[i]!;
      if (length > 0) {
        frames++;
        bytes += length - NET_HEADER_SIZE;
      } else if (length === -Errno.EAGAIN) later++;
    }
    this.#counts[at + QueueCounter.FRAMES]! += frames;
    this.#counts[at + QueueCounter.FRAME_BYTES]! += bytes;
    this.#counts[at + QueueCounter.LOST_FRAMES]! += count - frames - later;
    if (count === 0 || !this.#wants(EventKind.FRAME)) return;
    const now = this.#timeOf(Asked.END);
    for (let i = 0; i < count; i++) {
      const length = lengths[i]!;
      if (length === -Errno.EAGAIN) continue;
      const shown = length > 0 ? length - NET_HEADER_SIZE : length;
      this.#event(now, 0, EventKind.FRAME, queue, shown, 0, 0);
    }
  }

  step(step: DeviceStep, why = ""): void {
    const number = STEPS.indexOf(step);
    this.#counts[DeviceCounter.STEPS + number]!++;
    this.#text(EventKind.STEP, number, why);
  }

  emit(name: string, value = 0): void {
    this.#text(EventKind.OWN, value, name);
  }

  #wants(kind: number): boolean {
    return (this.#recorder.wanted & 1 << kind) !== 0;
  }

  /** Now; of a batch, its first's: what begins or ends together is one. */
  #timeOf(asked: number): number {
    if (this.#asked !== asked) {
      this.#asked = asked;
      this.#times[0] = this.#recorder.now();
    }
    return this.#times[0]!;
  }

  /** An event with a text, which are rare: its first value is `value`. */
  #text(kind: number, value: number, text: string): void {
    if (!this.#wants(kind)) return;
    recordText(this.#recorder, kind, this.#device, value, text);
  }

  #event(
    start: number,
    duration: number,
    kind: number,
    a: number,
    b: number,
    c: number,
    d: number,
  ): void {
    const device = this.#device;
    this.#recorder.record(start, duration, kind, device, a, b, c, d);
  }
}

/** That of a device's number, in its thread's page. */
export function recorderOf(
  page: SharedArrayBuffer,
  device: number,
): DeviceRecorder {
  return new DeviceRecorder(new Recorder(page), device);
}

/** Records an event that has a text, in as many places as it needs. */
export function recordText(
  recorder: Recorder,
  kind: number,
  subject: number,
  value: number,
  text: string,
): void {
  const bytes = new Uint8Array(TEXT_MAX + TEXT_BYTES - TEXT_MAX % TEXT_BYTES);
  const { written } = new TextEncoder()
    .encodeInto(text, bytes.subarray(0, TEXT_MAX));
  const now = recorder.now();
  recorder.record(now, 0, kind, subject, value, written, 0, 0);
  const doubles = new Float64Array(bytes.buffer);
  for (let at = 0; at < written; at += TEXT_BYTES) {
    const [a, b, c, d] = doubles.subarray(at / 8, at / 8 + EVENT_DOUBLES / 2);
    recorder.record(now, 0, EventKind.TEXT, subject, a!, b!, c!, d!);
  }
}

function place(queue: number, counter: number): number {
  return QUEUES_AT + queue * QUEUE_COUNTERS + counter;
}
