/**
 * Devices without virtio of the user's own: what a module is, and where one is.
 *
 * @module
 */
import type { OwnContext } from "./context.ts";

/** What a plain device gets at {@linkcode PlainDevice.attach}. */
export interface PlainContext extends OwnContext {
  /** Raises its interrupt: an edge; or a level, until {@linkcode lower}. */
  raise(): void;
  /** The level of its interrupt goes down. */
  lower(): void;
  /**
   * Memory that a machine's vCPUs share of a device with `thread: "vcpu"`;
   * snapshots have it. Each vCPU's thread has an instance of its own.
   */
  readonly shared: SharedArrayBuffer;
}

/**
 * A device with registers. `size` is 1, 2 or 4, values are unsigned numbers of
 * 32 bits, and an access lies within the device's range. On the device worker
 * what it returns may be a promise: the vCPU waits.
 */
export interface PlainDevice {
  /** Once, before the guest runs. */
  attach?(context: PlainContext): void;
  /** The value of the register at `offset`. */
  read(offset: number, size: number): number | Promise<number>;
  /** Sets the register at `offset`. */
  write(offset: number, size: number, value: number): void | Promise<void>;
  /** A command from outside: {@linkcode VirtioDevice.command}. */
  command?(command: unknown): unknown;
  /** Its state, as plain data; without it the machine can't be saved. */
  save?(): unknown;
  /** Goes on as saved. */
  restore?(state: unknown): void;
  /** Releases what it holds. */
  close?(): void;
}

/** Where a plain device is, as plain data for all threads. */
export interface PlainPlace {
  /** What the configuration calls it. */
  name: string;
  /** URL of its module. */
  module: string;
  /** The constructor's parameter. */
  options: unknown;
  /** What its addresses are. */
  space: "mmio" | "port";
  /** The first. */
  address: number;
  /** How many. */
  size: number;
  /** Its interrupt, if it has one. */
  gsi: number;
  /** How that is raised; undefined: there is none. */
  interrupt: "edge" | "level" | undefined;
  /** Its ACPI id; undefined: it is not in the tables. */
  hid: string | undefined;
  /** What a `PRP0001` is compatible with. */
  compatible: string | undefined;
  /** Who answers. */
  thread: "device" | "vcpu";
  /** Milliseconds that a vCPU waits for an answer. */
  timeout: number;
  /** {@linkcode PlainWord}. */
  page: SharedArrayBuffer;
  /** {@linkcode PlainContext.shared}. */
  shared: SharedArrayBuffer;
  /** eventfd: an access waits for the device worker. */
  requestFd: number;
}

/** Indexes of 32-bit words of {@linkcode PlainPlace.page}. */
export const PlainWord = {
  /** 1 while a vCPU has an access. */
  LOCK: 0,
  /** The number of the last access that was asked for. */
  ASKED: 1,
  /** And of the last that was answered. */
  ANSWERED: 2,
  OFFSET: 3,
  SIZE: 4,
  VALUE: 5,
  /** 1: it is a write. */
  WRITE: 6,
  /** 1: its interrupt is up. */
  LEVEL: 7,
  COUNT: 8,
} as const;

/** All ones, as where nothing is. */
export function nothing(size: number): number {
  return 0xffff_ffff >>> (32 - 8 * size);
}

/** What a module's `read` has returned, as many bits as were asked for. */
export function readValue(value: unknown, size: number): number {
  if (typeof value === "number" && Number.isInteger(value)) {
    return (value & nothing(size)) >>> 0;
  }
  throw new TypeError(`read returned ${String(value)}, no whole number`);
}

/** Raises and lowers a plain device's interrupt, from any thread. */
export class PlainInterrupt {
  readonly #place: PlainPlace;
  readonly #words: Int32Array;
  readonly #line: (gsi: number, level: boolean) => void;

  /** Of `place`; `line` sets the level of an interrupt controller's pin. */
  constructor(
    place: PlainPlace,
    line: (gsi: number, level: boolean) => void,
  ) {
    this.#place = place;
    this.#words = new Int32Array(place.page);
    this.#line = line;
  }

  /** {@linkcode PlainContext.raise}. */
  raise(): void {
    const { interrupt, gsi } = this.#place;
    if (interrupt === undefined) return;
    this.#line(gsi, true);
    if (interrupt === "edge") return this.#line(gsi, false);
    Atomics.store(this.#words, PlainWord.LEVEL, 1);
  }

  /** {@linkcode PlainContext.lower}. */
  lower(): void {
    if (this.#place.interrupt !== "level") return;
    Atomics.store(this.#words, PlainWord.LEVEL, 0);
    this.#line(this.#place.gsi, false);
  }
}
