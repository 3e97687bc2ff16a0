/**
 * Faults between a device and its driver: entries of the used ring that are
 * wrong or late, and interrupts that are lost. The queues of a device that has
 * faults are taken in hand one by one; others are as they are.
 *
 * @module
 */
import type { Timers } from "../runtime/timers.ts";
import type { DeviceContext } from "../virtio/device.ts";
import { PackedQueue } from "../virtio/queue/packed.ts";
import type { VirtQueue } from "../virtio/queue/queue.ts";
import { corrupt, delayOf, type Fate, type Faults } from "./rules.ts";

/** The queues of one device. */
export class FaultyRings {
  timers: Timers | undefined;
  readonly #faults: Faults;
  readonly #taken = new WeakSet<VirtQueue>();
  // Queues whose driver sees nothing more for now; `until` a timer, or for good.
  readonly #held = new Map<VirtQueue, "timer" | "stall">();
  #context!: DeviceContext;

  /** Of a device that has these. */
  constructor(faults: Faults) {
    this.#faults = faults;
  }

  /** The device's context. */
  attach(context: DeviceContext): void {
    this.#context = context;
  }

  /** The queues are those that the driver has chosen. */
  take(): void {
    for (const queue of this.#context.queues) {
      if (this.#taken.has(queue)) continue;
      this.#taken.add(queue);
      this.#take(queue);
    }
  }

  /** What is stalled is shown to the driver. */
  goOn(): void {
    for (const queue of [...this.#held.keys()]) this.#show(queue);
  }

  /** The driver has reset a queue, or all. */
  forget(queue?: VirtQueue): void {
    if (queue) this.#held.delete(queue);
    else this.#held.clear();
  }

  #take(queue: VirtQueue): void {
    const push = queue.push.bind(queue);
    const publish = queue.publish.bind(queue);
    queue.push = (head, written) => {
      const fate = this.#faults.next("used", 0, written);
      if (fate?.effect === "corrupt") {
        const entry = Uint32Array.of(head, written);
        // A packed ring's position follows from the head.
        const from = queue instanceof PackedQueue ? 4 : 0;
        corrupt(new Uint8Array(entry.buffer), from, fate);
        return push(entry[0]!, entry[1]!);
      }
      if (fate) this.#hold(queue, fate);
      push(head, written);
    };
    queue.publish = () => {
      if (this.#held.has(queue) || !publish()) return false;
      return this.#faults.next("interrupt", 0, 0) === undefined;
    };
  }

  #hold(queue: VirtQueue, fate: Fate): void {
    if (fate.effect === "stall") {
      this.#held.set(queue, "stall");
    } else if (!this.#held.has(queue)) {
      this.#held.set(queue, "timer");
      this.timers!.set(delayOf(fate), () => {
        if (this.#held.get(queue) === "timer") this.#show(queue);
      });
    }
  }

  #show(queue: VirtQueue): void {
    if (this.#held.delete(queue)) this.#context.publish(queue);
  }
}
