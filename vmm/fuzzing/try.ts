/**
 * One try: from the point on, until something ends it.
 *
 * @module
 */
import { KickTimer } from "../../ffi/kvm/kick_timer.ts";
import { VcpuCounter } from "../../ffi/kvm/stats.ts";
import { MpState } from "../../ffi/kvm/vcpu.ts";
import type { MachineEnd } from "../messages.ts";
import type { Answer, Change } from "./answers.ts";
import type { Oracle } from "./oracles.ts";
import type { Replica } from "./replica.ts";

/** What ends a try, whichever is first. */
export interface Limits {
  /** The driver's next accesses of its device; default: any number. */
  accesses?: number;
  /**
   * Instructions that KVM emulates, which are those of the kernel where a host
   * has neither VMX nor SVM; elsewhere they are too few to count. Default: any
   * number. One more millisecond's may be done.
   */
  instructions?: number;
  /** Milliseconds; default 2000. */
  milliseconds?: number;
  /** The guest has nothing to do for so many milliseconds; default 20. */
  idle?: number;
  /** A line of the guest's serial port. */
  text?: RegExp;
}

/** What has ended a try. */
export type TryEnd =
  | "accesses"
  | "instructions"
  | "time"
  | "idle"
  | "text"
  | "oracle"
  | "machine";

/** What an oracle has found. */
export interface Finding {
  /** The oracle's name. */
  oracle: string;
  /** What it says. */
  text: string;
}

/** A try that is over. */
export interface Try {
  /** What was changed of the device's answers. */
  changes: readonly Change[];
  /** What has ended it. */
  end: TryEnd;
  /** As what the guest has ended the machine, if it has. */
  machine: MachineEnd | undefined;
  /** The first that an oracle has found, if one has. */
  finding: Finding | undefined;
  /** Instructions that KVM has emulated. */
  instructions: number;
  /** How often the guest came out of KVM: accesses, output, and looks at it. */
  exits: number;
  /** How long the guest ran. */
  milliseconds: number;
  /** The driver's accesses of its device, with the first. */
  accesses: number;
  /** What the device has answered. */
  answers: readonly Answer[];
  /** What the guest has printed on its serial port. */
  output: string;
}

/** Milliseconds between two looks at a guest that does not exit. */
const LOOK = 1;
/** Instructions of a millisecond, more or less, where KVM emulates them. */
const A_LOOK = 1400;
/** The guest's output of a try that is kept, in characters. */
const OUTPUT = 16_384;

/** Runs a replica's guest within limits. */
export class TryRunner implements Disposable {
  /** The driver's accesses so far, in this try. */
  accesses = 0;
  readonly #replica: Replica;
  readonly #timer = new KickTimer();
  readonly #emulated: VcpuCounter;
  #limits: Limits = {};
  #oracles: readonly Oracle[] = [];
  #end: TryEnd | undefined;
  #finding: Finding | undefined;
  #line = "";
  #output = "";
  #exits = 0;
  #first = 0; // what the counter was
  #last = Infinity; // what it may be
  #began = 0;
  #kickAt = 0;
  #idleSince: number | undefined;
  /** Called with each whole line of the guest's. */
  onLine: (line: string) => void = () => {};

  /** Of one replica. */
  constructor(replica: Replica) {
    this.#replica = replica;
    using undo = new DisposableStack();
    undo.use(this.#timer);
    this.#emulated = new VcpuCounter(replica.vcpu.fd, "insn_emulation");
    replica.onByte = (byte) => this.#printed(byte);
    undo.move();
  }

  /** Ends the try at the next opportunity. */
  stop(end: TryEnd): void {
    this.#end ??= end;
  }

  /** The driver accesses its device. */
  accessed(): void {
    if (this.accesses++ === this.#limits.accesses) this.stop("accesses");
  }

  /** Runs the guest from where it is. */
  run(
    limits: Limits,
    oracles: readonly Oracle[],
  ): Omit<Try, "changes" | "answers"> {
    this.#limits = limits;
    this.#oracles = oracles;
    this.accesses = this.#exits = 0;
    this.#end = undefined;
    this.#finding = undefined;
    this.#line = this.#output = "";
    this.#idleSince = undefined;
    this.#first = this.#emulated.value;
    this.#last = this.#first + (limits.instructions ?? Infinity);
    this.#began = performance.now();
    this.#arm(this.#began);
    const machine = this.#replica.run(() => this.#stops());
    this.#timer.set(0);
    const end = machine ? "machine" : this.#end!;
    for (const { name, end: judge } of oracles) {
      if (this.#finding) break;
      const text: string | undefined = judge?.(end, machine);
      if (text !== undefined) this.#finding = { oracle: name, text };
    }
    return {
      ...{ end, machine, finding: this.#finding, accesses: this.accesses },
      instructions: this.#emulated.value - this.#first,
      exits: this.#exits,
      milliseconds: performance.now() - this.#began,
      output: this.#output,
    };
  }

  /** Takes the timer away. */
  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
    this.#emulated[Symbol.dispose]();
  }

  #stops(): boolean {
    if (this.#end !== undefined) return true;
    this.#exits++;
    const now = performance.now();
    if (this.#last !== Infinity && this.#emulated.value >= this.#last) {
      this.stop("instructions");
    } else if (now - this.#began >= (this.#limits.milliseconds ?? 2000)) {
      this.stop("time");
    } else if (now >= this.#kickAt) {
      this.#lookWhetherIdle(now);
      this.#arm(now);
    }
    return this.#end !== undefined;
  }

  /** The next look is when there may be something to see. */
  #arm(now: number): void {
    const left = this.#last === Infinity
      ? LOOK
      : (this.#last - this.#emulated.value) / A_LOOK;
    const wait = Math.max(LOOK / 4, Math.min(left, LOOK));
    this.#kickAt = now + wait;
    this.#timer.set(wait);
  }

  #lookWhetherIdle(now: number): void {
    if (this.#replica.vcpu.getMpState() !== MpState.HALTED) {
      this.#idleSince = undefined;
    } else if (this.#idleSince === undefined) {
      this.#idleSince = now;
    } else if (now - this.#idleSince >= (this.#limits.idle ?? 20)) {
      this.stop("idle");
    }
  }

  #printed(byte: number): void {
    if (this.#output.length < OUTPUT) this.#output += String.fromCharCode(byte);
    if (byte !== 10) {
      if (byte !== 13) this.#line += String.fromCharCode(byte);
      return;
    }
    const line = this.#line;
    this.#line = "";
    this.onLine(line);
    for (const { name, line: judge } of this.#oracles) {
      if (this.#finding) break;
      const text: string | undefined = judge?.(line);
      if (text === undefined) continue;
      this.#finding = { oracle: name, text };
      this.stop("oracle");
    }
    if (this.#limits.text?.test(line)) this.stop("text");
  }
}
