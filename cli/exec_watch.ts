/**
 * Notices a guest that will never come to the commands that it is to run.
 *
 * @module
 */
import type { ConsoleTail } from "./streams/console_tail.ts";

/** The last line of Linux's `panic()`; what comes after it is up to `panic=`. */
const PANIC = "end Kernel panic";
/** Seconds from there on in which a kernel may still restart by itself. */
const PANIC_SECONDS = 3;
/**
 * Seconds without a word and without work. Linux's ip=dhcp has up to 30 between
 * its requests, and says so; in all it may take two minutes (net/ipv4/ipconfig.c).
 */
const IDLE_SECONDS = 45;
/** The same of a kernel that is told to be quiet. */
const QUIET_SECONDS = 150;
/** Below this share of a CPU, the process has no work. */
const IDLE_SHARE = 0.1;
/** Seconds without a word, at work. */
const BUSY_SECONDS = 600;
/** And more for each GiB of memory: where KVM emulates, Linux takes 17 s. */
const BUSY_SECONDS_PER_GIB = 30;
/** Seconds between two lines for a user who sees nothing else. */
const NOTE_SECONDS = 60;

/** What a watch knows of its guest. */
export interface WatchedGuest {
  /** Its console. */
  tail: ConsoleTail;
  /** Its memory in bytes. */
  memory: number;
  /** Its kernel has been told to be quiet. */
  quiet?: boolean;
  /** It will not come to its commands: what it did. Called once. */
  giveUp(why: string): void;
  /** It has to be silent: what it said before is not taken. */
  held?(): boolean;
  /** A line for the user: it takes long. */
  say(line: string): void;
}

/** Looks once a second until the commands begin, or it is disposed of. */
export class ExecWatch implements Disposable {
  readonly #guest: WatchedGuest;
  readonly #cpuSeconds: () => number;
  readonly #timer: ReturnType<typeof setInterval>;
  /** Looks are counted, not time: a process that was stopped heard nothing. */
  #silent = 0;
  #idle = 0;
  #panicked = 0;
  #used: number;

  /**
   * A watch that looks by itself.
   *
   * @param cpuSeconds what this process has used of CPUs so far
   */
  constructor(
    guest: WatchedGuest,
    cpuSeconds: () => number = cpuSecondsOfProcess,
  ) {
    this.#guest = guest;
    this.#cpuSeconds = cpuSeconds;
    this.#used = cpuSeconds();
    this.#timer = setInterval(() => this.look(), 1000);
  }

  /** The guest said something. */
  heard(): void {
    this.#silent = this.#idle = 0;
  }

  /** A second has passed. */
  look(): void {
    const { tail, memory, quiet, giveUp, say, held } = this.#guest;
    if (held?.()) return this.heard();
    const used = this.#cpuSeconds();
    const idle = used - this.#used < IDLE_SHARE;
    this.#used = used;
    this.#silent++;
    this.#idle = idle ? this.#idle + 1 : 0;
    const why = this.#panicked > 0 || panicked(tail)
      ? this.#panicked++ < PANIC_SECONDS ? undefined : "panicked"
      : this.#idle >= (quiet ? QUIET_SECONDS : IDLE_SECONDS)
      ? `was idle and silent for ${this.#idle} s`
      : this.#silent >= busySeconds(memory)
      ? `said nothing for ${this.#silent} s`
      : undefined;
    if (why !== undefined) {
      this[Symbol.dispose]();
      giveUp(why);
    } else if (this.#silent % NOTE_SECONDS === 0) {
      const how = idle ? "idle" : "busy";
      say(`the guest is ${how}, and has said nothing for ${this.#silent} s`);
    }
  }

  /** Looks no more. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

function panicked(tail: ConsoleTail): boolean {
  return tail.lines().some((line) => line.includes(PANIC));
}

function busySeconds(memory: number): number {
  return BUSY_SECONDS + BUSY_SECONDS_PER_GIB * Math.ceil(memory / 2 ** 30);
}

/** utime and stime of proc(5), in hundredths of a second. */
function cpuSecondsOfProcess(): number {
  let stat: string;
  try {
    stat = Deno.readTextFileSync("/proc/self/stat");
  } catch {
    return performance.now() / 1000; // who can't know takes it for busy
  }
  // The name before may have anything in it, but ends in the last bracket.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
