/**
 * Code of a module of the user's, as the thread calls it: what it throws, at
 * once or by a promise, is told in a line, and ends nothing else.
 *
 * @module
 */
import { failureOf } from "../runtime/load_module.ts";
import { type TimerLoop, Timers } from "../runtime/timers.ts";
import type { Watcher } from "../runtime/event_loop.ts";
import type { GuestMemory } from "../../guest/memory.ts";
import type { MakerContext } from "../virtio/maker.ts";
import type { OwnContext } from "./context.ts";
import { whenKept } from "./outstanding.ts";

/** Failures of a module after which no more are told: a guest may cause them. */
const COMPLAINTS_MAX = 20;

/** What a module can wait in. */
export interface OwnLoop extends TimerLoop {
  /** Calls `watcher` when `fd` is ready. */
  watch(fd: number, watcher: Watcher, events?: number): void;
  /** Changes what `fd` is watched for. */
  modifyWatch?(fd: number, events: number): void;
}

/** A module's code, and what it may ask for. */
export class OwnCode implements OwnContext {
  readonly name: string;
  /** URL of the module. */
  readonly url: string;
  readonly #maker: MakerContext;
  #timers: Timers | undefined;
  #loop: OwnLoop | undefined;
  #failed: (reason: string) => void = () => {};
  #complaints = 0;

  /** Code of the module at `url`, for the device called `name`. */
  constructor(name: string, url: string, maker: MakerContext) {
    this.name = name;
    this.url = url;
    this.#maker = maker;
  }

  get memory(): GuestMemory {
    return this.#maker.memory;
  }

  /**
   * It can wait from now on.
   *
   * @param failed gets what an exception says
   */
  attach(loop: OwnLoop, failed: (reason: string) => void): void {
    this.#loop = loop;
    this.#timers = new Timers(loop);
    this.#failed = failed;
  }

  /** Calls `step`, and waits for the promise that it may return. */
  call(step: () => unknown): void {
    try {
      const result = step();
      if (!(result instanceof Promise)) return;
      whenKept(this.name, result, () => {}, (error) => this.fail(error));
    } catch (error) {
      this.fail(error);
    }
  }

  /** `answer`, which may be a promise for whose end a pause waits. */
  answer(answer: unknown): unknown {
    if (!(answer instanceof Promise)) return answer;
    whenKept(this.name, answer, () => {}, () => {});
    return answer;
  }

  /** The code has failed with `error`. */
  fail(error: unknown): void {
    this.#failed(failureOf(error, this.url));
  }

  log(message: string): void {
    this.#maker.log(`${this.name}: ${message}`);
  }

  /** What has failed, in a line, as long as there are not too many. */
  complain(reason: string): void {
    if (this.#complaints++ < COMPLAINTS_MAX) this.log(reason);
  }

  emit(name: string, data?: unknown): void {
    const time = performance.timeOrigin + performance.now();
    this.#maker.emit({ device: this.name, time, name, data });
  }

  setTimer(milliseconds: number, callback: () => unknown): () => void {
    if (!(milliseconds >= 0)) {
      throw new RangeError(`a timer of ${milliseconds} ms`);
    }
    return this.#timers!.set(milliseconds, () => this.call(callback));
  }

  watch(fd: number, watcher: Watcher, events?: number): void {
    const onReady = (events: number) =>
      this.call(() => watcher.onReady(events));
    this.#loop!.watch(fd, { onReady }, events);
  }

  modifyWatch(fd: number, events: number): void {
    this.#loop!.modifyWatch?.(fd, events);
  }

  unwatch(fd: number): void {
    this.#loop!.unwatch(fd);
  }

  /** A context of its own. */
  plain(): OwnContext {
    const { name, memory } = this;
    return {
      ...{ name, memory },
      log: (message) => this.log(message),
      emit: (name, data) => this.emit(name, data),
      setTimer: (milliseconds, callback) =>
        this.setTimer(milliseconds, callback),
      watch: (fd, watcher, events) => this.watch(fd, watcher, events),
      modifyWatch: (fd, events) => this.modifyWatch(fd, events),
      unwatch: (fd) => this.unwatch(fd),
    };
  }

  /** Makes no more calls. */
  close(): void {
    this.#timers?.close();
  }
}
