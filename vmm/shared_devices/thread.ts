/**
 * A device worker's loop over the devices of several machines: it looks at all
 * of them for work, and sleeps when none has any.
 *
 * @module
 */
import { EventLoop } from "../../devices/runtime/event_loop.ts";
import { type Polled, PollWindow } from "../../devices/runtime/poll_window.ts";
import { errorText } from "../../ffi/error.ts";
import { drainEventFd } from "../../ffi/eventfd.ts";
import { DeviceThread } from "../device_thread.ts";
import type { DeviceWorkerStart } from "../messages.ts";
import { Member, type Post } from "./member.ts";
import type { SharedStart } from "./messages.ts";

/** The thread. */
export class SharedThread implements Polled {
  readonly #wakeFd: number;
  readonly #posted: Int32Array;
  readonly #turns = new MessageChannel(); // a message is a turn of Deno's loop
  #received = 0;
  #joining = 0;
  #members: [Member, leave: () => void][] = [];
  #loop: EventLoop | undefined; // while there are members
  #pollMicroseconds = 0; // the most that a member wants
  #window = new PollWindow(0);
  #running = false;

  /** A thread without machines. */
  constructor({ wakeFd, posted }: SharedStart) {
    this.#wakeFd = wakeFd;
    this.#posted = new Int32Array(posted);
  }

  /** Makes a machine's devices, and serves them until it ends. */
  async join(start: DeviceWorkerStart, post: Post): Promise<void> {
    this.#received++;
    this.#joining++;
    const { port1, port2 } = new MessageChannel();
    const leave = () => {
      port1.close();
      post({ type: "stopped" });
    };
    try {
      post({ type: "commands", port: port2 }, [port2]);
      const devices = await DeviceThread.make(start, post, port1);
      this.#add(devices, start.pollMicroseconds, post, leave);
    } catch (error) {
      const message = errorText(error);
      this.#rest();
      post({ type: "end", end: { reason: "error", message } });
      leave();
    } finally {
      this.#joining--;
    }
    await this.#run();
  }

  #add(
    devices: DeviceThread,
    pollMicroseconds: number,
    post: Post,
    leave: () => void,
  ): void {
    using made = new DisposableStack(); // unless it can be served
    made.use(devices);
    const loop = this.#loop ?? this.#begin();
    const member = new Member(devices, loop, post);
    made.defer(() => member.close());
    member.begin();
    this.#members.push([member, leave]);
    made.move();
    if (pollMicroseconds > this.#pollMicroseconds) {
      this.#pollMicroseconds = pollMicroseconds;
      this.#window = new PollWindow(pollMicroseconds);
    }
  }

  #begin(): EventLoop {
    using made = new DisposableStack(); // unless it is watched
    const loop = made.use(new EventLoop());
    loop.watch(this.#wakeFd, { onReady: () => drainEventFd(this.#wakeFd) });
    made.move();
    return this.#loop = loop;
  }

  /** A message is on its way, or another machine's devices are being made. */
  get #arriving(): boolean {
    if (this.#joining > 0) return true;
    if (Atomics.load(this.#posted, 0) !== this.#received) return true;
    for (let i = 0; i < this.#members.length; i++) {
      if (this.#members[i]![0].waiting) return true;
    }
    return false;
  }

  get interrupted(): boolean {
    if (this.#arriving) return true;
    for (let i = 0; i < this.#members.length; i++) {
      if (this.#members[i]![0].over) return true;
    }
    return false;
  }

  /** Serves the members for as long as there are some. */
  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    while (this.#members.length > 0) {
      try {
        if (this.#arriving) {
          this.#loop!.turn(0);
          this.poll();
          await this.#turnOfDeno();
        } else this.#window.wait(this, this.#loop!);
      } catch (error) { // not a member's: it would have told that itself
        for (const [member] of this.#members) member.fail(error);
      }
      this.#release();
    }
    this.#running = false;
  }

  /** Messages are received, and modules loaded. */
  async #turnOfDeno(): Promise<void> {
    const { port1, port2 } = this.#turns;
    await new Promise<unknown>((turned) => {
      port1.onmessage = turned;
      port2.postMessage(0);
    });
  }

  poll(): boolean {
    let worked = false;
    for (let i = 0; i < this.#members.length; i++) {
      if (this.#members[i]![0].poll()) worked = true;
    }
    return worked;
  }

  enable(): boolean {
    let work = false;
    for (let i = 0; i < this.#members.length; i++) {
      if (this.#members[i]![0].enable()) work = true;
    }
    return work;
  }

  /** Lets go of machines that end: afterwards nothing here is of them. */
  #release(): void {
    if (!this.#members.some(([member]) => member.over)) return;
    const over = this.#members.filter(([member]) => member.over);
    this.#members = this.#members.filter(([member]) => !member.over);
    for (const [member] of over) member.close();
    this.#rest();
    for (const [, leave] of over) leave();
  }

  /** Without members, nothing is open. */
  #rest(): void {
    if (this.#members.length > 0) return;
    this.#loop?.close();
    this.#loop = undefined;
    this.#pollMicroseconds = 0;
  }
}
