/**
 * What a kind of virtio device is to the machine: its key in the configuration,
 * how one is opened, and what the command line has for it.
 *
 * @module
 */
import type { HostEnd } from "../../devices/backends/console/channel.ts";
import type { PlainPlace } from "../../devices/own/plain.ts";
import type { OwnName } from "../../ffi/own_name.ts";
import type { KernelCommandLine } from "../../guest/boot/cmdline.ts";
import type { FilledMachineConfig } from "../config/keys.ts";
import type { Finding, KeyStatus, Rule } from "../config/schema/rule.ts";

/**
 * A kind of device. `T` is what the configuration says of one, `R` the same
 * with its defaults, `Data` what its maker gets on the device worker.
 */
export interface Kind<T = unknown, R = T, Data = unknown> {
  /** A machine may have several: the key's value is a list. */
  readonly list: boolean;
  /** Where its devices are among the others: those with less come before. */
  readonly order: number;
  /** What the key is for, in documents. */
  readonly about: string;
  /** Whose key it is. */
  readonly status: KeyStatus;
  /** What is taken of one device: types, limits, defaults. */
  readonly rule: Rule<T, R>;
  /** What is wrong with devices that are right alone. */
  conflicts?(devices: readonly T[], machine: FilledMachineConfig): Finding[];
  /** The order that the guest sees them in; default: as they are given. */
  inOrder?(devices: readonly R[]): R[];
  /** Words for the kernel, which are not in the ones it is given. */
  cmdline?(devices: readonly R[], given: KernelCommandLine): string[];
  /**
   * Opens what the device needs of the host; `stack` closes it, also when a
   * later step fails. Code for it that others don't need is loaded here.
   *
   * @param undo removes what is only there for a machine that has run
   * @throws {VireoError} it can't be had
   */
  open(
    config: R,
    stack: DisposableStack,
    undo: DisposableStack,
  ): Opened<Data> | Promise<Opened<Data>>;
  /** The module with the kind's `make`, a {@linkcode Maker} of its data. */
  readonly make: URL;
  /**
   * The command that its devices get in a machine that goes on from a snapshot
   * as another; one that can't do it leaves it.
   */
  readonly moved?: unknown;
  /** Made before the start, since it is code that may fail to load. */
  early?(config: R): boolean;
  /** Options of `vireo boot`. */
  readonly options?: KindOptions<T>;
}

/** A device whose host side is open. */
export interface Opened<Data> {
  /** What {@linkcode Machine.command} calls it. */
  name: string;
  /** For the maker: plain data. */
  data: Data;
  /** Code of the user's is part of it, which may wait for promises. */
  own?: boolean;
  /** It is no virtio device, and here. */
  plain?: PlainPlace;
  /** It can be used, but the machine's owner should know this: one line. */
  warning?: string;
  /** Names that its stack takes away, as does whoever can't wait for that. */
  names?: OwnName[];
  /** The main isolate's end of it, when the device is the main console. */
  console?: HostEnd;
}

/** A kind's options of `vireo boot`. */
export interface KindOptions<T> {
  /** A line of the help for each. */
  readonly rows: readonly OptionRow[];
  /**
   * The devices that the words ask for; undefined: none, and no key.
   *
   * @param words values by the option's name
   * @throws {VireoError} a word that can't be
   */
  read(words: Readonly<Record<string, unknown>>): T | T[] | undefined;
  /**
   * What is said of a finding, by its path below the kind's key, without
   * indices; what isn't here is said as of a file.
   *
   * @param index the device's, in its list
   */
  readonly texts?: Readonly<
    Record<string, (finding: Finding, index: number) => string>
  >;
}

/** An option. */
export interface OptionRow {
  /** `--disk <file>`. */
  readonly flags: string;
  /** What it does. */
  readonly about: string;
  /** It may stand several times: its value is a list. */
  readonly repeatable?: boolean;
  /** Its value when it isn't there. */
  readonly default?: string;
  /** What its value is, or begins with: `tap=NAME`; beside a file, if any. */
  readonly values?: readonly string[];
  /** What may follow after commas: `ro`, `queues=N`. */
  readonly words?: readonly string[];
}
