/**
 * The devices of one machine among those of others on one thread: what its main
 * isolate wants is done here, and nothing of it waits.
 *
 * @module
 */
import type { EventLoop, Watcher } from "../../devices/runtime/event_loop.ts";
import { errorText } from "../../ffi/error.ts";
import { Command } from "../control.ts";
import type { DeviceThread } from "../device_thread.ts";
import type { WorkerMessage } from "../messages.ts";

/** Tells the main isolate something of one machine. */
export type Post = (message: WorkerMessage, transfer?: Transferable[]) => void;

/** One machine's devices. */
export class Member implements Watcher {
  /** They are to be closed: the machine ends, or something has failed. */
  over = false;
  readonly #devices: DeviceThread;
  readonly #thread: EventLoop;
  readonly #post: Post;
  #watched: EventLoop | undefined; // what the thread waits for of theirs
  #pause = 0; // that of the control words, while it lasts

  /** Devices that `thread` waits for, once they {@linkcode begin}. */
  constructor(devices: DeviceThread, thread: EventLoop, post: Post) {
    this.#devices = devices;
    this.#thread = thread;
    this.#post = post;
  }

  /** Commands for them are on their way. */
  get waiting(): boolean {
    return !this.over && this.#devices.commands.waiting;
  }

  /** They are made, and at work from now on. */
  begin(): void {
    this.#watch(this.#devices.loop);
    this.#devices.commands.begin();
    this.#devices.goOn();
    this.#post({ type: "ready" });
    this.#obey(); // it may have been told something meanwhile
  }

  /** Some of their descriptors are ready. */
  onReady(): void {
    try {
      this.#watched!.turn(0);
      this.#obey();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Looks at memory; true when there was work. */
  poll(): boolean {
    if (this.over || this.#pause !== 0) return false;
    try {
      return this.#devices.poll();
    } catch (error) {
      return this.fail(error);
    }
  }

  /** Before the thread sleeps. True when it must not: there is work. */
  enable(): boolean {
    if (this.over || this.#pause !== 0) return false;
    try {
      return this.#devices.enable();
    } catch (error) {
      return this.fail(error);
    }
  }

  /**
   * The machine ends with this error.
   *
   * @returns that there is something to do
   */
  fail(error: unknown): true {
    this.over = true;
    const message = errorText(error);
    this.#post({ type: "end", end: { reason: "error", message } });
    return true;
  }

  /** Closes them. Not in a turn of the thread. */
  close(): void {
    this.#watch(undefined);
    try {
      this.#devices[Symbol.dispose]();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Pauses, goes on, or is over, as the control words say. */
  #obey(): void {
    const { control, loop, paused } = this.#devices;
    if (control.deviceCommand === Command.STOP) {
      this.over = true;
      return;
    }
    const pause = control.devicePause;
    if (pause === this.#pause) return;
    if (this.#pause !== 0) {
      this.#devices.goOn();
      this.#post({ type: "resumed" });
    }
    this.#pause = pause;
    this.#watch(pause === 0 ? loop : paused);
    if (pause !== 0) this.#post({ type: "paused" });
  }

  #watch(loop: EventLoop | undefined): void {
    if (loop === this.#watched) return;
    if (this.#watched !== undefined) this.#thread.unwatch(this.#watched.fd);
    this.#watched = loop;
    if (loop !== undefined) this.#thread.watch(loop.fd, this);
  }
}
