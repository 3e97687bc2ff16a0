/**
 * The balloon of a running machine, from outside.
 *
 * @module
 */
import type {
  BalloonCommand,
  BalloonStats,
} from "../../devices/virtio/balloon/command.ts";

/**
 * The balloon of a running machine.
 *
 * ```ts ignore
 * await machine.balloon.setTarget(64); // the guest gives up 64 MiB
 * const { actual_mib } = await machine.balloon.stats();
 * ```
 */
export class BalloonHandle {
  readonly #send: (command: BalloonCommand) => Promise<unknown>;

  /** A handle on the device that `send` reaches. */
  constructor(send: (command: BalloonCommand) => Promise<unknown>) {
    this.#send = send;
  }

  /**
   * Asks the guest to give up `mib` MiB, or to take back what is more than
   * that. It takes its time: `actual_mib` of {@linkcode BalloonHandle.stats}
   * says how far it is.
   *
   * @throws {VireoError} more than the guest's memory
   */
  async setTarget(mib: number): Promise<void> {
    await this.#send({ type: "set-target", mib });
  }

  /**
   * The balloon's size, and what the guest last said of its memory: no older
   * than the interval that was set.
   */
  async stats(): Promise<BalloonStats> {
    return await this.#send({ type: "stats" }) as BalloonStats;
  }

  /**
   * How often the guest is asked for statistics.
   *
   * @throws {VireoError} they were not switched on at the start
   */
  async setStatsInterval(seconds: number): Promise<void> {
    await this.#send({ type: "set-stats-interval", seconds });
  }

  /**
   * Asks the guest for its free pages, once, and gives them back to the host.
   * `hinting` of {@linkcode BalloonHandle.stats} says whether it is at it.
   *
   * Linux may use a page again before its hint was dealt with, when it runs
   * short of memory, and then loses what it wrote: ask when it has plenty.
   *
   * @throws {VireoError} hinting was not switched on at the start
   */
  async startHinting(): Promise<void> {
    await this.#send({ type: "start-hinting" });
  }

  /** Ends what {@linkcode BalloonHandle.startHinting} began. */
  async stopHinting(): Promise<void> {
    await this.#send({ type: "stop-hinting" });
  }
}
