/**
 * Faults: which requests of a device something happens to, and what. The same
 * rules and seed choose the same requests of the same sequence.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import type { OwnEvent } from "../own/context.ts";
import type { DeviceRecord } from "../virtio/device_record.ts";
import { FAULTS, type FaultyKind } from "./kinds.ts";

/**
 * What a rule is about: a disk's requests, a network's frames, a request for
 * random bytes, bytes of a console's ports or of a socket, a connection of a
 * socket, or what any device gives back in its queues, and its interrupts.
 */
export type FaultType =
  | "read"
  | "write"
  | "flush"
  | "discard"
  | "send"
  | "receive"
  | "fill"
  | "output"
  | "input"
  | "connect"
  | "used"
  | "interrupt";

/** What happens to a request or frame. */
export type FaultEffect =
  | "error"
  | "short"
  | "delay"
  | "drop"
  | "duplicate"
  | "corrupt"
  | "reorder"
  | "stall";

/** Something that happens to some requests. */
export interface FaultRule {
  /**
   * To which: of a disk `read`, `write`, `flush`, `discard`; of a network
   * `send`, `receive`, as the guest sees it; of entropy `fill`; of a console and
   * a socket `output` and `input`, as the guest sees it, and of a socket
   * `connect`; of all of these `used` and `interrupt`.
   */
  on: FaultType;
  /**
   * `error`: it fails. `short`: only `bytes` of it are done at first; a
   * connection breaks after them. `delay`: it takes `delay_ms` longer. `drop`:
   * it is lost; what a disk is to write is said to be done, and isn't.
   * `duplicate`: it comes twice. `corrupt`: one bit each of `bytes` bytes is
   * wrong. `reorder`: it is done after the next one. `stall`: it is not done
   * until there are other rules, or the device is reset or saved.
   */
  effect: FaultEffect;
  /** Only from this sector on. */
  first_sector?: number;
  /** And only up to this one. */
  last_sector?: number;
  /** Only the nth of these, counted from 1. */
  nth?: number;
  /** Only every so many of these. */
  every?: number;
  /** Only with this probability, 0 to 1. */
  probability?: number;
  /** So often at most. */
  times?: number;
  /** Of `error`: `EIO`, the default, `ENOSPC` or `EOPNOTSUPP`. */
  errno?: "EIO" | "ENOSPC" | "EOPNOTSUPP";
  /** Of `short`, 512 by default, and `corrupt`, 1 by default. */
  bytes?: number;
  /** Of `delay`. */
  delay_ms?: number;
  /** Added to it, uniformly from 0 to this. */
  jitter_ms?: number;
  /** Added to it, exponentially, with this mean. */
  mean_ms?: number;
}

/** The rules of one device. */
export interface FaultPlan {
  /** Chooses what is random; default 0. */
  seed?: number;
  /** The first that fits decides. */
  rules: FaultRule[];
}

/** A command to a device: these rules hold from now on. */
export interface FaultCommand {
  /** Which. */
  type: "faults";
  /** They begin to count anew. */
  plan: FaultPlan;
}

/** What becomes of one request. */
export interface Fate {
  /** What happens. */
  effect: FaultEffect;
  /** The rule. */
  rule: FaultRule;
  /** 0 to 1, the next of the rule's own sequence. */
  random: () => number;
}

interface Counted {
  rule: FaultRule;
  seen: number;
  hits: number;
  random: () => number;
}

const SECTOR = 512;

/** The faults of one device. */
export class Faults {
  /** Called when the rules have changed. */
  changed: () => void = () => {};
  /** Where traces have each fault from. */
  record: DeviceRecord | undefined;
  readonly #device: string;
  readonly #types: readonly FaultType[];
  readonly #emit: (event: OwnEvent) => void;
  #rules: Counted[] = [];

  /** Of the device called `device`; `emit` hears of each fault. */
  constructor(
    device: string,
    kind: FaultyKind,
    plan: FaultPlan,
    emit: (event: OwnEvent) => void,
  ) {
    this.#device = device;
    this.#types = FAULTS[kind];
    this.#emit = emit;
    this.set(plan);
  }

  /**
   * These rules hold from now on.
   *
   * @throws {VireoError} one is about what the device has not
   */
  set({ seed = 0, rules }: FaultPlan): void {
    rules.forEach(({ on }, index) => {
      if (this.#types.includes(on)) return;
      const types = this.#types.join(", ");
      const text = `${this.#device} has no ${on}, but ${types}`;
      throw new VireoError(`faults.rules[${index}].on: ${text}`);
    });
    this.#rules = rules.map((rule, index) => ({
      rule,
      seen: 0,
      hits: 0,
      random: randomOf(seed * 31 + index),
    }));
    this.changed();
  }

  /** What happens to a request; undefined: nothing. */
  next(on: FaultType, offset: number, length: number): Fate | undefined {
    for (let index = 0; index < this.#rules.length; index++) {
      const one = this.#rules[index]!;
      const { rule, random } = one;
      if (rule.on !== on || !inRange(rule, offset, length)) continue;
      one.seen++;
      if (rule.nth !== undefined && one.seen !== rule.nth) continue;
      if (rule.every !== undefined && one.seen % rule.every !== 0) continue;
      // Drawn for each that fits, so that one's number is always the same.
      const chosen = rule.probability === undefined ||
        random() < rule.probability;
      if (!chosen || one.hits >= (rule.times ?? Infinity)) continue;
      one.hits++;
      const time = performance.timeOrigin + performance.now();
      const { effect } = rule;
      const data = { rule: index, on, effect, n: one.seen, offset, length };
      this.#emit({ device: this.#device, time, name: "fault", data });
      this.record?.emit(`fault: ${on} ${effect}`, index);
      return { effect, rule, random };
    }
  }
}

function inRange(
  { first_sector = 0, last_sector = Infinity }: FaultRule,
  offset: number,
  length: number,
): boolean {
  if (first_sector === 0 && last_sector === Infinity) return true;
  return offset < (last_sector + 1) * SECTOR &&
    offset + length > first_sector * SECTOR;
}

/** Milliseconds that `fate` adds. */
export function delayOf({ rule, random }: Fate): number {
  const { delay_ms = 0, jitter_ms = 0, mean_ms = 0 } = rule;
  const jitter = jitter_ms > 0 ? random() * jitter_ms : 0;
  const tail = mean_ms > 0 ? -Math.log(1 - random()) * mean_ms : 0;
  return delay_ms + jitter + tail;
}

/** Bytes that are done at first; without any it would never end. */
export function leastOf({ rule }: Fate): number {
  return Math.max(1, rule.bytes ?? 512);
}

/** Gets `bytes` wrong from byte `from` on, as `fate` says. */
export function corrupt(bytes: Uint8Array, from: number, fate: Fate): void {
  const room = bytes.length - from;
  for (let i = fate.rule.bytes ?? 1; i > 0 && room > 0; i--) {
    const at = from + Math.floor(fate.random() * room);
    bytes[at]! ^= 1 << Math.floor(fate.random() * 8);
  }
}

/** Numbers of 0 to 1 (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = state + 0x6d2b79f5 | 0;
    let mixed = Math.imul(state ^ state >>> 15, 1 | state);
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed;
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
  };
}
