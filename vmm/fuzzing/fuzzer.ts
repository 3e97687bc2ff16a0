/**
 * Fuzzes a guest's driver: a saved machine is put back, in its place, to where
 * the driver reads an answer of its device's, and is given another one.
 *
 * @module
 */
import type { PlainDevice } from "../../devices/own/plain.ts";
import type { VirtioDevice } from "../../devices/virtio/device.ts";
import { VireoError } from "../../ffi/error.ts";
import type { GuestMemory } from "../../guest/memory.ts";
import type { Snapshot } from "../snapshot/snapshot.ts";
import { nameOf } from "../snapshot/trust.ts";
import { Answers, type Change } from "./answers.ts";
import { checkChanges, checkNumbers } from "./check.ts";
import { Coverage, Kcov, type KcovBuffer } from "./coverage.ts";
import { minimise } from "./minimise.ts";
import { mutate, type Mutator, next, type Seed } from "./mutate.ts";
import { crash, kernelLog, kindOf, type Oracle } from "./oracles.ts";
import { Random } from "./random.ts";
import { Replica, type ReplicaParts } from "./replica.ts";
import {
  type Access,
  idleDevice,
  plainTarget,
  virtioTarget,
} from "./target.ts";
import { type Finding, type Limits, type Try, TryRunner } from "./try.ts";

/** The device whose driver is fuzzed. */
export type FuzzedDevice =
  /**
   * A virtio device of the machine, by its name, and who answers for it; a
   * function makes one that has the guest's memory.
   */
  | {
    name: string;
    model: VirtioDevice | ((memory: GuestMemory) => VirtioDevice);
  }
  /** Registers in memory, or ports, who answers there, and its interrupt. */
  | { mmio: number; size: number; model: PlainDevice; gsi?: number }
  | { port: number; size: number; model: PlainDevice; gsi?: number };

/** What a {@linkcode Fuzzer} does. */
export interface FuzzerOptions {
  /** Answers as a device should; each try begins with what it was then. */
  device: FuzzedDevice;
  /** Typed into the guest's serial port, to have the driver begin. */
  input?: string;
  /** Whether a try begins at this read; default: the first. */
  from?(access: Access): boolean;
  /** What ends a try. */
  until?: Limits;
  /** What is wrong; default: {@linkcode kernelLog} and {@linkcode crash}. */
  oracles?: readonly Oracle[];
  /** How changes are made of others. */
  mutate?: Mutator;
  /** Where the program that is in the kernel has KCOV's buffer, if it has. */
  kcov?: KcovBuffer;
  /** Milliseconds that the guest may take to the first try; default 60,000. */
  patience?: number;
}

/** How long to fuzz. */
export interface FuzzOptions {
  /** The same tries for the same number; default 1. */
  seed?: number;
  /** The most tries; default: any number. */
  tries?: number;
  /** The most milliseconds; default: any number. */
  milliseconds?: number;
  /** Ends it. */
  signal?: AbortSignal;
  /** What others are made of from the beginning on, as `onNew` has told it. */
  corpus?: readonly (readonly Change[])[];
  /**
   * Told of a try that has shown something new, and is no finding, and how far
   * the run has come with it.
   */
  onNew?(changes: readonly Change[], progress: FuzzProgress): unknown;
  /** Told of each finding of a new kind, with the least changes that give it. */
  onFinding?(found: Found): unknown;
  /** Ends at the first finding. */
  first?: boolean;
}

/** A finding, and how to have it again. */
export interface Found extends Finding {
  /** For {@linkcode Fuzzer.replay}: the least that gives it. */
  changes: Change[];
  /** Which try it was. */
  at: number;
  /** It came again when it was tried again. */
  repeats: boolean;
}

/** How far a run has come. */
export interface FuzzProgress {
  /** How many tries there were, without those that made findings small. */
  tries: number;
  /** Tries that others were made of: what was given, and what was new. */
  corpus: number;
  /** How much they have shown: pairs of accesses, lines, and places. */
  seen: number;
  /** Of these, places in the code: KCOV's. Without `kcov` there are none. */
  places: number;
}

/** What came of fuzzing. */
export interface FuzzReport extends FuzzProgress {
  /** Tries a second. */
  rate: number;
  /** Instructions of a try that KVM has emulated, on average. */
  instructions: number;
  /** How often the guest came out of KVM in a try, on average. */
  exits: number;
  /** Findings of different kinds. */
  found: Found[];
}

/** Who is told of accesses, now. */
interface AccessHook {
  onAccess(access: Access): void;
}

/** Others get their turn so often, in milliseconds. */
const TURN = 50;

/** Tries of one driver, from one point. */
export class Fuzzer implements Disposable {
  readonly #replica: Replica;
  readonly #runner: TryRunner;
  readonly #answers: Answers;
  readonly #options: FuzzerOptions;
  #coverage = new Coverage();
  #kcov: Kcov | undefined;
  readonly #hook: AccessHook;
  #running = false;
  #closed = false;

  private constructor(
    replica: Replica,
    runner: TryRunner,
    answers: Answers,
    hook: AccessHook,
    options: FuzzerOptions,
  ) {
    this.#hook = hook;
    this.#replica = replica;
    this.#runner = runner;
    this.#answers = answers;
    this.#options = options;
  }

  /**
   * Lets a saved machine go on, in this thread, to where its driver reads the
   * answer that tries begin with. The snapshot is not needed any more then, and
   * its machine may do what it likes.
   *
   * @throws {VireoError} it has several vCPUs, or PCI, or no such device; or the
   *   driver does not come there; or a limit is no number
   */
  static async of(
    snapshot: Snapshot,
    options: FuzzerOptions,
  ): Promise<Fuzzer> {
    const { patience, until } = options;
    const { accesses, instructions, milliseconds, idle } = until ?? {};
    const limits = { accesses, instructions, milliseconds, idle };
    checkNumbers({ patience, ...limits });
    const answers = new Answers();
    const hook: AccessHook = { onAccess: () => {} };
    const onAccess = (access: Access) => hook.onAccess(access);
    using undo = new DisposableStack();
    const replica = undo.use(
      await Replica.of(
        snapshot,
        (parts) => devicesOf(parts, options.device, answers, onAccess),
      ),
    );
    const runner = undo.use(new TryRunner(replica));
    const fuzzer = new Fuzzer(replica, runner, answers, hook, options);
    fuzzer.#goToPoint();
    undo.move();
    return fuzzer;
  }

  /**
   * One try, with these changes of the device's answers; none: as it should be.
   *
   * @throws {VireoError} that are no changes; or the machine was given back
   */
  replay(changes: readonly Change[]): Try {
    if (this.#closed) throw new VireoError("fuzz: the machine was given back");
    checkChanges(changes);
    this.#replica.reset();
    this.#answers.begin(changes);
    this.#coverage.begin();
    const { until = {}, oracles = DEFAULT } = this.#options;
    const result = this.#runner.run(until, oracles);
    if (this.#kcov) this.#coverage.kcov(this.#kcov);
    return { ...result, changes, answers: this.#answers.given };
  }

  /**
   * Tries until there is an end to it. What an earlier run has seen counts for
   * nothing: the same seed makes the same tries.
   *
   * @returns what came of it, also when it was ended early
   * @throws {VireoError} one runs already; a number is none; the machine was
   *   given back meanwhile
   */
  async run(options: FuzzOptions): Promise<FuzzReport> {
    const { seed, tries, milliseconds } = options;
    checkNumbers({ tries, milliseconds });
    if (seed !== undefined && !Number.isInteger(seed)) {
      throw new VireoError(`fuzz: seed: ${seed} is no whole number`);
    }
    if (this.#running) throw new VireoError("fuzz: it runs already");
    this.#running = true;
    try {
      return await this.#run(options);
    } finally {
      this.#running = false;
    }
  }

  async #run(options: FuzzOptions): Promise<FuzzReport> {
    const { seed = 1, tries = Infinity, milliseconds = Infinity } = options;
    const random = new Random(seed);
    const coverage = this.#coverage = new Coverage(); // the seed's, not another's
    const corpus: Seed[] = [];
    const keep = (seed: Seed) => {
      coverage.keep();
      corpus.push(seed);
    };
    for (const changes of [[], ...options.corpus ?? []]) {
      keep(this.replay(changes));
    }
    const found = new Map<string, Found>();
    const began = performance.now();
    let instructions = 0, exits = 0, count = 0, apart = 0, turn = began;
    const progress = (): FuzzProgress => ({
      ...{ tries: count, corpus: corpus.length },
      ...{ seen: coverage.size, places: coverage.places },
    });
    while (count < tries && !options.signal?.aborted) {
      const now = performance.now();
      if (now - began >= milliseconds) break;
      if (now - turn >= TURN) {
        await new Promise((done) => setTimeout(done));
        turn = performance.now();
      }
      const { mutate: change = mutate } = this.#options;
      const result = this.replay(change(next(corpus, random), random));
      count++;
      instructions += result.instructions;
      exits += result.exits;
      const isNew = result.finding && !found.has(keyOf(result.finding));
      if (coverage.fresh > 0 && !result.finding) {
        keep(result);
        options.onNew?.(result.changes, progress());
      }
      if (!isNew) continue;
      const minimising = performance.now();
      const one = this.#smallest(result, count);
      apart += performance.now() - minimising;
      found.set(keyOf(result.finding!), one);
      await options.onFinding?.(one);
      if (options.first) break;
    }
    const spent = (performance.now() - began - apart) / 1000;
    return {
      ...progress(),
      rate: count / spent,
      instructions: instructions / Math.max(1, count),
      exits: exits / Math.max(1, count),
      found: [...found.values()],
    };
  }

  /** Gives the machine back; a run that has not ended ends with an error. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#runner[Symbol.dispose]();
    this.#replica[Symbol.dispose]();
  }

  #smallest({ finding, changes }: Try, at: number): Found {
    const key = keyOf(finding!);
    const fails = (changes: readonly Change[]) => {
      const { finding } = this.replay(changes);
      return finding !== undefined && keyOf(finding) === key;
    };
    const repeats = fails(changes);
    return {
      ...finding!,
      changes: repeats ? minimise(changes, fails) : [...changes],
      at,
      repeats,
    };
  }

  /** Runs the guest to the read, and keeps what it is there. */
  #goToPoint(): void {
    const { input, from = () => true, patience = 60_000 } = this.#options;
    let there = false;
    this.#hook.onAccess = (access) => {
      if (there || access.value !== undefined || !from(access)) return;
      there = true;
      this.#replica.capture();
      this.#runner.stop("accesses");
    };
    this.#answers.begin([]);
    if (input) this.#replica.input(new TextEncoder().encode(input));
    const limits = { milliseconds: patience, idle: patience };
    const { end, output } = this.#runner.run(limits, []);
    if (!there) {
      const last = output.trimEnd().split("\n").at(-1);
      throw new VireoError(
        `fuzz: the driver does not read there (${end})` +
          (last ? `; the guest's last line: ${last.slice(0, 100)}` : ""),
      );
    }
    if (this.#options.kcov) {
      this.#kcov = this.#replica.kcov(this.#options.kcov);
    }
    this.#hook.onAccess = ({ offset, value }) => {
      this.#coverage.access(offset, value !== undefined);
      this.#runner.accessed();
    };
    this.#runner.onLine = (line) => this.#coverage.line(kindOf("", line));
  }
}

const DEFAULT: readonly Oracle[] = [kernelLog, crash];

function keyOf({ oracle, text }: Finding): string {
  return kindOf(oracle, text);
}

/** The one that is fuzzed, and the virtio devices beside it. */
function devicesOf(
  parts: ReplicaParts,
  device: FuzzedDevice,
  answers: Answers,
  onAccess: (access: Access) => void,
) {
  const { devices } = parts.config;
  const virtio = devices.map((_, index) => index).filter((index) =>
    parts.snapshot.state.devices[index]!.queues.length > 0
  );
  if (!("name" in device)) {
    const place = "mmio" in device
      ? { space: "mmio" as const, address: device.mmio, size: device.size }
      : { space: "port" as const, address: device.port, size: device.size };
    const { gsi, model } = device;
    return [
      plainTarget(place, gsi, model, parts, answers, onAccess),
      ...virtio.map((index) => idleDevice(index, parts)),
    ];
  }
  const index = devices.findIndex(({ config }) =>
    nameOf(config) === device.name
  );
  if (!virtio.includes(index)) {
    throw new VireoError(
      `fuzz: the machine has no virtio device "${device.name}"`,
    );
  }
  const { model } = device;
  const made = typeof model === "function" ? model(parts.memory) : model;
  return virtio.map((other) =>
    other === index
      ? virtioTarget(index, made, parts, answers, onAccess)
      : idleDevice(other, parts)
  );
}
