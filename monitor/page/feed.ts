/**
 * What a page is told while it is open: server-sent events
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html). Nothing is
 * kept for a reader but how far it has come: one that reads slowly, or never,
 * gets the numbers of the moment when it reads, and the end of the console.
 *
 * @module
 */
import { Scrollback } from "./scrollback.ts";

/** The console is looked at so often, in milliseconds. */
const TICK = 100;
/** Numbers come with each so manieth look. */
const NUMBERS = 5;
/** So many readers of all a page's machines at once. */
export const MAX_READERS = 16;

interface Reader {
  /** How far it has the console. */
  place: number;
  /** The look that it has the numbers of. */
  numbers: number;
  gone: boolean;
}

/** A machine's events, for all its readers. */
export class Feed implements Disposable {
  /** What the guest has said. */
  readonly console: Scrollback = new Scrollback();
  readonly #numbers: () => Promise<unknown>;
  readonly #readers = new Set<Reader>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #tick = Promise.withResolvers<void>();
  #ticks = 0;
  #last: { tick: number; event: Promise<string> } | undefined;
  #over = false;

  /** Events with what `numbers` returns, which is asked once for all. */
  constructor(numbers: () => Promise<unknown>) {
    this.#numbers = numbers;
  }

  /** How many read it. */
  get readers(): number {
    return this.#readers.size;
  }

  /** The events for one more reader. */
  open(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const reader: Reader = { place: 0, numbers: -Infinity, gone: false };
    this.#readers.add(reader);
    this.#timer ??= setInterval(() => this.#wake(), TICK);
    const encoder = new TextEncoder();
    const cancel = () => this.#leave(reader);
    return new ReadableStream({
      pull: async (controller) => {
        let events = await this.#news(reader);
        while (events === "" && !this.#over && !reader.gone) {
          await this.#tick.promise;
          events = await this.#news(reader);
        }
        if (reader.gone) return;
        if (this.#over) events += "event: end\ndata:\n\n";
        controller.enqueue(encoder.encode(events));
        if (!this.#over) return;
        cancel();
        controller.close();
      },
      cancel,
    }, { highWaterMark: 0 });
  }

  /** The machine has ended: that is each reader's last event. */
  [Symbol.dispose](): void {
    this.#over = true;
    this.#wake();
  }

  /** What a reader has not had, when it is time for it. */
  async #news(reader: Reader): Promise<string> {
    let events = "";
    const { end } = this.console;
    if (reader.place !== end) {
      const data = this.console.since(reader.place).toBase64();
      events += `event: console\ndata: ${data}\n\n`;
      reader.place = end;
    }
    if (this.#ticks - reader.numbers >= NUMBERS || this.#over) {
      reader.numbers = this.#ticks;
      events += await this.#numbersNow();
    }
    return events;
  }

  #numbersNow(): Promise<string> {
    if (this.#last?.tick !== this.#ticks) {
      const event = this.#numbers().then((numbers) =>
        `data: ${JSON.stringify(numbers)}\n\n`
      );
      this.#last = { tick: this.#ticks, event };
    }
    return this.#last.event;
  }

  #wake(): void {
    this.#ticks++;
    this.#tick.resolve();
    this.#tick = Promise.withResolvers();
  }

  #leave(reader: Reader): void {
    reader.gone = true;
    this.#readers.delete(reader);
    if (this.#readers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#wake(); // its pull ends
  }
}
