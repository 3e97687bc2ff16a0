/**
 * One machine on a live page: what is shown of it, and what its buttons do.
 *
 * @module
 */
import type { BalloonStats } from "../../devices/virtio/balloon/command.ts";
import { VireoError } from "../../ffi/error.ts";
import type {
  PageInput,
  ShownMachine,
  WatchedMachine,
} from "../../vmm/live_page.ts";
import type { TraceFilter } from "../../vmm/trace/events.ts";
import { eventLog } from "./event_log.ts";
import { Feed } from "./feed.ts";
import type { MachineRow } from "./list.ts";

/** What a page knows for its machines. */
export interface ShownOn {
  /** Where snapshots are saved. */
  readonly folder: string;
  /** The rows of all machines, where there are several. */
  list(): Promise<MachineRow[] | undefined>;
  /** It is there no more. */
  removed(): void;
}

/** A button can't, for the moment. */
export class Busy extends VireoError {}

type Button = (
  shown: Shown,
  machine: WatchedMachine,
  body: Uint8Array,
) => Promise<string | void> | void;

const BUTTONS: ReadonlyMap<string, Button> = new Map<string, Button>([
  ["input", (shown, _machine, bytes) => shown.type(bytes)],
  ["pause", (_shown, machine) => machine.pause()],
  ["resume", (_shown, machine) => machine.resume()],
  ["power-button", (_shown, machine) => machine.powerButton()],
  ["snapshot", (shown, machine) => shown.save(machine)],
  ["balloon", (_shown, machine, body) => {
    const text = new TextDecoder().decode(body);
    if (!/^\d{1,8}$/.test(text)) {
      throw new VireoError(`balloon: not a number of MiB`);
    }
    return machine.balloon.setTarget(Number(text));
  }],
]);

/** A machine's place on a page. */
export class Shown implements ShownMachine {
  /** What the page calls it. */
  readonly name: string;
  /** What its readers get. */
  readonly feed: Feed;
  /** The machine, once there is one. */
  machine: WatchedMachine | undefined;
  readonly #on: ShownOn;
  readonly #watched = Promise.withResolvers<WatchedMachine>();
  #input: PageInput = () => undefined;
  /** Resolves when the guest, which has more than it reads, has room. */
  #inputRoom: Promise<unknown> | undefined;
  #balloon: BalloonStats | undefined;
  #asked = false; // the balloon, which has not answered yet
  #saving = false;

  /** A place for a machine of that name. */
  constructor(name: string, on: ShownOn) {
    this.name = name;
    this.#on = on;
    this.feed = new Feed(() => this.#numbers());
  }

  watch(machine: WatchedMachine, input?: PageInput): void {
    if (input) this.#input = input;
    this.machine = machine;
    this.#watched.resolve(machine);
  }

  heard(bytes: Uint8Array): void {
    this.feed.console.push(bytes);
  }

  /** Its events, for one who asks for them; `closed` is told of their end. */
  async log(
    filter: TraceFilter,
    closed: () => void,
  ): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    return await eventLog(await this.#watched.promise, filter, closed);
  }

  /**
   * A button is pressed.
   *
   * @returns what there is to say; undefined: there is no such button
   * @throws {VireoError} why it can't
   */
  async press(button: string, body: Uint8Array): Promise<string | undefined> {
    const press = BUTTONS.get(button);
    if (press === undefined) return undefined;
    return await press(this, await this.#watched.promise, body) ?? "";
  }

  /** Types what a guest that reads has room for. */
  type(bytes: Uint8Array): void {
    if (this.#inputRoom) throw new Busy("the guest is busy");
    this.#inputRoom = this.#input(bytes);
    this.#inputRoom?.then(() => this.#inputRoom = undefined);
  }

  /** Saves a snapshot; where the page's owner has said, not its reader. */
  async save(machine: WatchedMachine): Promise<string> {
    if (this.#saving) throw new Busy("it is being saved");
    this.#saving = true;
    try {
      const time = new Date().toISOString().replaceAll(/[:.]/g, "-");
      const folder = `${this.#on.folder}/${this.name}-${time}`;
      using snapshot = await machine.snapshot();
      snapshot.save(folder);
      return `saved in ${folder}; it goes on with: vireo restore ${folder}`;
    } finally {
      this.#saving = false;
    }
  }

  /** It is no longer on the page: that is its readers' last event. */
  [Symbol.dispose](): void {
    this.feed[Symbol.dispose]();
    this.#on.removed();
  }

  async #numbers(): Promise<unknown> {
    const machine = await this.#watched.promise;
    const metrics = await machine.metrics();
    if (metrics.devices.some(({ kind }) => kind === "balloon")) {
      this.#askBalloon(machine);
    }
    const machines = await this.#on.list();
    const { state } = machine;
    return { state, metrics, balloon: this.#balloon, machines };
  }

  /** What it says is shown the next time: nobody waits for a device. */
  #askBalloon(machine: WatchedMachine): void {
    if (this.#asked) return;
    this.#asked = true;
    machine.balloon.stats().then(
      (stats) => this.#balloon = stats,
      () => {}, // the machine has ended
    ).finally(() => this.#asked = false);
  }
}
