/**
 * A boot that goes on from where an earlier one like it was: the first leaves
 * its machine in the cache when init asks for its orders.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { snapshots } from "../../vmm/lazy.ts";
import { Machine } from "../../vmm/machine.ts";
import type { MachineOptions } from "../../vmm/machine_options.ts";
import type { ResolvedConfig } from "../../vmm/config/resolve.ts";
import {
  encodeOrders,
  type Instructions,
  Orders,
} from "../../vmm/orders/orders.ts";
import { keepEntry, ownFolder, removeEntry, useEntry } from "./cache.ts";
import { bootKey, type BootKind } from "./key.ts";

/** What a boot's init is to do, and what is done with its machine. */
export interface InstantOptions extends Omit<BootKind, "commands"> {
  /** What init is to do. */
  instructions: Instructions;
  /** Boot from the beginning, and leave nothing. */
  cold?: boolean;
  /** Folders to save the machine in when init asks. */
  folders: readonly string[];
  /** What the machine is, in the user's words. */
  what: string;
  /** A line for the user. */
  say(line: string): void;
}

/** One boot of a guest whose init asks for orders. */
export class InstantBoot {
  readonly #config: ResolvedConfig;
  readonly #options: InstantOptions;
  readonly #opened = Promise.withResolvers<void>();

  /** A boot of `config`. */
  constructor(config: ResolvedConfig, options: InstantOptions) {
    this.#config = config;
    this.#options = options;
  }

  /** Resolves when the guest has its orders: only then it may have input. */
  get ordered(): Promise<void> {
    return this.#opened.promise;
  }

  /**
   * Makes the machine: the one of the cache, or a new one, which is kept.
   *
   * @throws {VireoError} it can't be made
   */
  async make(hooks: MachineOptions): Promise<Machine> {
    const { instructions, cold, folders } = this.#options;
    encodeOrders(instructions); // what it refuses is known now
    const orders = new Orders(instructions.commands !== undefined);
    const options = { ...hooks, orders };
    const place = cold ? undefined : await this.#place();
    let why: unknown;
    try {
      const restored = place && await this.#restore(place, options);
      if (restored) {
        this.#give(orders);
        return restored;
      }
    } catch (error) {
      why = error;
    }
    // What is the user's mistake is told by this one, in its own words.
    const machine = await Machine.fromResolved(this.#config, options);
    if (place && why) {
      this.#cold(why);
      removeEntry(`${place.cache}/${place.key}`);
    }
    if (place || folders.length > 0) void this.#keep(machine, orders, place);
    else this.#give(orders);
    return machine;
  }

  #give(orders: Orders): void {
    orders.give(encodeOrders(this.#options.instructions));
    this.#opened.resolve();
  }

  /** Where its machine is or would be; undefined: no cache can be used. */
  async #place(): Promise<Place | undefined> {
    try {
      const cache = ownFolder();
      const { instructions: { commands }, ownKernel, of } = this.#options;
      const key = await bootKey(this.#config, {
        commands: commands !== undefined,
        ownKernel,
        of,
      });
      return { cache, key };
    } catch (error) {
      this.#cold(error);
    }
  }

  async #restore(
    { cache, key }: Place,
    options: MachineOptions,
  ): Promise<Machine | undefined> {
    return await useEntry(cache, key, async (folder) => {
      const { RestoreAs } = await snapshots();
      const as = new RestoreAs(this.#config);
      return await Machine.restore(folder, as, options);
    });
  }

  async #keep(
    machine: Machine,
    orders: Orders,
    place: Place | undefined,
  ): Promise<void> {
    await Promise.race([orders.asked, machine.wait()]);
    const over = () => ["ending", "ended"].includes(machine.state);
    if (over()) return;
    const { what, folders, say } = this.#options;
    try {
      using snapshot = await machine.snapshot();
      for (const folder of folders) {
        snapshot.save(folder);
        say(`saved in ${folder}; it goes on with: vireo restore ${folder}`);
      }
      if (place) keepEntry(place.cache, place.key, what, snapshot);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      if (over()) return; // by a signal, in the middle of it
      say(`not kept for the next boot: ${error.message}`);
    }
    this.#give(orders);
  }

  #cold(error: unknown): void {
    if (!(error instanceof VireoError || error instanceof Error)) throw error;
    const [line] = error.message.split("\n");
    this.#options.say(`from the beginning: ${line}`);
  }
}

interface Place {
  cache: string;
  key: string;
}
