/**
 * The memory balloon (virtio 1.2 §5.5): the guest gives pages up, and the host
 * gets the memory behind them back.
 *
 * Queues are numbered by the features that were negotiated: without
 * statistics, the queue after the second is the next that is there. Linux and
 * QEMU have it so; §5.5.2 gives each queue a number of its own.
 *
 * @module
 */
import { TimerFd } from "../../../ffi/timerfd.ts";
import { VireoError } from "../../../ffi/error.ts";
import { MiB } from "../../../guest/layout.ts";
import { PAGE_SIZE } from "../../../guest/memory.ts";
import type { Watcher } from "../../runtime/event_loop.ts";
import { PageDiscarder } from "./pages.ts";
import type { BalloonCommand, BalloonStats } from "./command.ts";
import { StatsReader } from "./stats.ts";
import type { ChainPart, DescriptorChain } from "../queue/chain.ts";
import type { DeviceContext, VirtioDevice } from "../device.ts";
import { type ChainServer, Drain } from "../queue/drain.ts";
import type { VirtQueue } from "../queue/queue.ts";
import { DeviceId, Feature, type FeatureWords, featureWords } from "../spec.ts";
import {
  BalloonConfig,
  BalloonFeature,
  type BalloonOptions,
  HintCommand,
} from "./spec.ts";

/** What is saved of a balloon; settings are those of the machine it goes to. */
interface BalloonSaved {
  hintRun: number;
  hinting: boolean;
}

/** What a queue is for. */
export type BalloonQueue =
  | "inflate"
  | "deflate"
  | "stats"
  | "hints"
  | "reports";

const QUEUE_SIZE = 256;
const LAST_HINT_RUN = 0xffff_ffff;
/** Buffers per turn; what their pages may cost is {@linkcode PageDiscarder}'s. */
const BUDGET = 16;
const PAGES_PER_MIB = MiB / PAGE_SIZE;

/** A virtio memory balloon. */
export class Balloon implements VirtioDevice, Watcher, ChainServer {
  readonly deviceId: number = DeviceId.BALLOON;
  readonly features: FeatureWords;
  readonly queueSizes: readonly number[];
  readonly config: Uint8Array = new Uint8Array(BalloonConfig.SIZE);
  readonly #word = new Uint32Array(1);
  readonly #wordBytes = new Uint8Array(this.#word.buffer);
  readonly #stats = new StatsReader();
  readonly #timer = new TimerFd();
  #chain!: DescriptorChain;
  #drain!: Drain;
  #context!: DeviceContext;
  #view!: DataView; // of the configuration
  #discarder!: PageDiscarder;
  #working: VirtQueue | undefined; // the chain's, while pages of it are left
  #waiting = false; // a queue has found no room meanwhile
  #roles: readonly BalloonQueue[] = [];
  #statsQueue: VirtQueue | undefined;
  #statsHead = -1; // the driver's buffer, kept until statistics are wanted
  #interval: number;
  #hintRun: number = HintCommand.FIRST; // the next one's number
  #hinting = false; // the guest's hints belong to the run that was asked for

  /** A balloon as `options` say. */
  constructor(options: BalloonOptions = {}) {
    const { mib = 0, statsInterval = 0 } = options;
    this.#interval = statsInterval;
    const bits: number[] = [Feature.INDIRECT_DESC, Feature.EVENT_IDX];
    const queues = [QUEUE_SIZE, QUEUE_SIZE];
    const offer = (wanted: unknown, bit: number, queue = true) => {
      if (!wanted) return;
      bits.push(bit);
      if (queue) queues.push(QUEUE_SIZE);
    };
    const { deflateOnOom, hinting, reporting } = options;
    offer(deflateOnOom, BalloonFeature.DEFLATE_ON_OOM, false);
    offer(statsInterval, BalloonFeature.STATS_VQ);
    offer(hinting, BalloonFeature.FREE_PAGE_HINT);
    offer(reporting, BalloonFeature.PAGE_REPORTING);
    // Without it, Linux with poisoned pages would not report any.
    offer(hinting || reporting, BalloonFeature.PAGE_POISON, false);
    this.features = featureWords(...bits);
    this.queueSizes = queues;
    new DataView(this.config.buffer)
      .setUint32(BalloonConfig.num_pages, mib * PAGES_PER_MIB, true);
  }

  attach(context: DeviceContext): void {
    this.#context = context;
    this.#chain = context.queues[0]!.chain(); // all queues are of one size
    this.#drain = new Drain(context, this, BUDGET);
    const { buffer, byteOffset } = context.config;
    this.#view = new DataView(buffer, byteOffset, BalloonConfig.SIZE);
    this.#discarder = new PageDiscarder(context.memory);
    context.watch(this.#timer.fd, this);
  }

  activate(): void {
    const has = (bit: number) => this.#context.hasFeature(bit);
    const roles: BalloonQueue[] = ["inflate", "deflate"];
    if (has(BalloonFeature.STATS_VQ)) roles.push("stats");
    if (has(BalloonFeature.FREE_PAGE_HINT)) roles.push("hints");
    if (has(BalloonFeature.PAGE_REPORTING)) roles.push("reports");
    this.#roles = roles;
    this.#statsQueue = this.#context.queues[roles.indexOf("stats")];
    if (this.#statsQueue) this.#armTimer();
    // Drivers fill the statistics queue before DRIVER_OK.
    for (const queue of this.#context.queues) {
      if (queue.live) this.notify(queue);
    }
  }

  notify(queue: VirtQueue): void {
    if (this.#roles[queue.index] === undefined) return;
    this.#discarder.refill();
    this.#drain.run(queue);
  }

  /** Every chain is done with at once, unless it has too many pages. */
  room(): DescriptorChain | undefined {
    if (this.#working === undefined) return this.#chain;
    this.#waiting = true;
    return undefined;
  }

  /** Does what the queue is for. */
  serve(chain: DescriptorChain, queue: VirtQueue): DescriptorChain | undefined {
    const { head, readable, writable } = chain;
    const role = this.#roles[queue.index]!;
    switch (role) {
      case "inflate":
        this.#objectTo(this.#discarder.takeArray(readable));
        break;
      case "stats": // §5.5.6.3: one buffer, which the device keeps
        if (this.#statsHead >= 0) this.#returnStats(queue);
        this.#stats.read(readable, this.#context.memory);
        this.#statsHead = head;
        return chain;
      case "hints":
        if (readable.bytes > 0) this.#hintMessage();
        else if (this.#hinting) this.#takeFree(writable);
        break;
      case "reports": // §5.5.6.7
        if (writable.bytes > 0) this.#takeFree(writable);
        break;
      case "deflate": // §5.5.6.1: the guest touches the pages, and has them
    }
    this.#working = queue;
    this.#work();
    return this.room();
  }

  /** Goes on with what was too much for one turn, then with all queues. */
  poll(): boolean {
    if (!this.enable()) return false;
    this.#discarder.refill();
    const queue = this.#working;
    if (queue !== undefined && this.#work()) this.#context.publish(queue);
    if (this.#working !== undefined) return true;
    this.#waiting = false;
    for (const queue of this.#context.queues) {
      if (queue.live && this.#roles[queue.index]) this.#drain.run(queue);
    }
    return true;
  }

  enable(): boolean {
    return this.#working !== undefined || this.#waiting;
  }

  /** The timer: statistics are wanted. */
  onReady(): void {
    this.#timer.drain();
    this.#askForStats();
  }

  /**
   * The buffer of statistics, and one whose pages are not all given back yet,
   * are in their queues again: they will be looked at anew.
   */
  quiesce(): void {
    for (const queue of this.#context.queues) queue.rewind();
    this.#statsHead = -1;
    this.#working = undefined;
    this.#discarder.drop();
  }

  /** How far hints are; what else there is stands in the configuration. */
  save(): BalloonSaved {
    return { hintRun: this.#hintRun, hinting: this.#hinting };
  }

  /** The target is this machine's own. */
  restore(saved: unknown): void {
    const { hintRun, hinting } = (saved ?? {}) as Partial<BalloonSaved>;
    if (
      !Number.isInteger(hintRun) || hintRun! < HintCommand.FIRST ||
      hintRun! > LAST_HINT_RUN || typeof hinting !== "boolean"
    ) throw new VireoError("balloon: that is no state of hints");
    this.#hintRun = hintRun!;
    this.#hinting = hinting;
    const target = new DataView(this.config.buffer)
      .getUint32(BalloonConfig.num_pages, true);
    if (target !== this.#field(BalloonConfig.num_pages)) {
      this.#tellTarget(target);
    }
    this.activate();
  }

  reset(queue?: VirtQueue): void {
    if (queue === undefined || queue === this.#statsQueue) this.#statsHead = -1;
    if (queue === undefined || queue === this.#working) {
      this.#working = undefined;
      this.#discarder.drop();
    }
    if (queue !== undefined) return;
    this.#waiting = false;
    this.#timer.disarm();
    this.#statsQueue = undefined;
    this.#stats.clear();
    this.#hinting = false;
    for (
      const field of [
        BalloonConfig.actual,
        BalloonConfig.poison_val,
        BalloonConfig.free_page_hint_cmd_id,
      ]
    ) this.#view.setUint32(field, 0, true);
  }

  /** §5.5.4: `actual` and `poison_val` are the driver's to write. */
  writeConfig(offset: number, size: number, value: number): void {
    const field = offset & ~3;
    const own = field === BalloonConfig.actual ||
      field === BalloonConfig.poison_val;
    if (!own || (offset & 3) + size > 4) return;
    for (let i = 0; i < size; i++) {
      this.#view.setUint8(offset + i, (value >>> (8 * i)) & 0xff);
    }
  }

  command(command: unknown): unknown {
    const wanted = command as BalloonCommand;
    switch (wanted.type) {
      case "set-target":
        return this.#setTarget(wanted.mib);
      case "set-stats-interval":
        return this.#setInterval(wanted.seconds);
      case "stats":
        return this.#report();
      case "start-hinting":
        return this.#startHinting();
      case "stop-hinting":
        return this.#tellHintCommand(HintCommand.STOP);
    }
  }

  close(): void {
    this.#context?.unwatch(this.#timer.fd);
    this.#timer.close();
  }

  /** True when the chain's pages are gone, and it is the driver's again. */
  #work(): boolean {
    this.#objectTo(this.#discarder.work());
    if (this.#discarder.busy) return false;
    this.#working!.push(this.#chain.head, 0);
    this.#working = undefined;
    return true;
  }

  #objectTo(problem: string | undefined): void {
    if (problem === undefined) return;
    this.#context.needsReset(`balloon: inflate: ${problem}`);
  }

  /** §5.5.6.6.1: poisoned pages must keep what is in them. */
  #takeFree(pages: ChainPart): void {
    if (this.#field(BalloonConfig.poison_val) !== 0) return;
    this.#discarder.takeRanges(pages);
  }

  #askForStats(): void {
    const queue = this.#statsQueue;
    if (queue === undefined || !queue.live || this.#statsHead < 0) return;
    this.#returnStats(queue);
    this.#context.publish(queue);
  }

  #returnStats(queue: VirtQueue): void {
    queue.push(this.#statsHead, 0);
    this.#statsHead = -1;
  }

  /** §5.5.6.5: hints come after the run's number, and before STOP. */
  #hintMessage(): void {
    const { readable } = this.#chain;
    if (!readable.peek(this.#context.memory, this.#wordBytes, 4)) return;
    const id = this.#word[0]!;
    const run = this.#field(BalloonConfig.free_page_hint_cmd_id);
    if (id === HintCommand.STOP && this.#hinting) {
      this.#tellHintCommand(HintCommand.DONE); // the guest may use them again
    } else {
      this.#hinting = id === run && id >= HintCommand.FIRST;
    }
  }

  #startHinting(): void {
    if (!this.#context.hasFeature(BalloonFeature.FREE_PAGE_HINT)) {
      throw new VireoError(
        "balloon: the guest gives no hints; is free_page_hinting on?",
      );
    }
    this.#tellHintCommand(this.#hintRun);
    this.#hintRun = this.#hintRun === LAST_HINT_RUN
      ? HintCommand.FIRST
      : this.#hintRun + 1;
  }

  #tellHintCommand(command: number): void {
    this.#hinting = false;
    this.#context.configChanged(() =>
      this.#view.setUint32(BalloonConfig.free_page_hint_cmd_id, command, true)
    );
  }

  #setTarget(mib: number): void {
    const max = this.#context.memory.size / MiB;
    if (!Number.isInteger(mib) || mib < 0 || mib > max) {
      throw new VireoError(`balloon: ${mib} MiB is not 0 to ${max}`);
    }
    this.#tellTarget(mib * PAGES_PER_MIB);
  }

  #tellTarget(pages: number): void {
    this.#context.configChanged(() =>
      this.#view.setUint32(BalloonConfig.num_pages, pages, true)
    );
  }

  /** From now on, or from when there is a driver. */
  #setInterval(seconds: number): void {
    if (this.#interval === 0) {
      throw new VireoError(
        "balloon: statistics must be on from the start " +
          "(stats_polling_interval_s)",
      );
    }
    if (!(seconds > 0)) {
      throw new VireoError(`balloon: ${seconds} is no interval in seconds`);
    }
    this.#interval = seconds;
    if (this.#statsQueue === undefined) return;
    this.#askForStats();
    this.#armTimer();
  }

  #armTimer(): void {
    this.#timer.arm(this.#interval * 1000, this.#interval * 1000);
  }

  #report(): BalloonStats {
    const target = this.#field(BalloonConfig.num_pages);
    const actual = this.#field(BalloonConfig.actual);
    return {
      target_pages: target,
      actual_pages: actual,
      target_mib: target / PAGES_PER_MIB,
      actual_mib: actual / PAGES_PER_MIB,
      discarded_pages: this.#discarder.pages,
      hinting: this.#field(BalloonConfig.free_page_hint_cmd_id) >=
        HintCommand.FIRST,
      ...this.#stats.stats,
    };
  }

  #field(offset: number): number {
    return this.#view.getUint32(offset, true);
  }
}
