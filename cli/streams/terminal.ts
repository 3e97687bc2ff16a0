/**
 * The user's end of the guest's console: a raw terminal with an escape key, or
 * a pipe, which is read as fast as the guest takes what comes.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { Poll, pollFd } from "../../ffi/poll.ts";
import {
  inForeground,
  rawMode,
  setTerminalMode,
  type TerminalMode,
  terminalMode,
} from "../../ffi/termios.ts";
import { aroundStops, ended } from "./signals.ts";

/** Standard input's descriptor. */
const STDIN = 0;
/** Bytes that are read at once. */
const CHUNK = 16 * 1024;

const CTRL_A = 0x01;
const CTRL_D = 0x04;
const NEWLINE = 0x0a;

/** How often a process in the background looks whether it still is, in ms. */
const LOOK_INTERVAL = 200;

/** How often a pipe's end is told to a guest that has not ended, in ms. */
const END_REPEAT = 2000;

/** Where input goes. */
export interface TerminalTarget {
  /** Bytes for the guest. A promise: it is full until that resolves. */
  input(bytes: Uint8Array): Promise<void> | undefined;
  /** The user pressed Ctrl-A x. */
  quit(): void;
  /** A line for the user. */
  say(text: string): void;
}

/**
 * Takes `Ctrl-A` commands out of what the user types: `x` ends the machine,
 * `Ctrl-A` is sent on, `h` shows this.
 */
export class EscapeKey {
  readonly #target: TerminalTarget;
  #escaped = false;

  /** Passes all other bytes to `target`. */
  constructor(target: TerminalTarget) {
    this.#target = target;
  }

  /** Takes typed bytes. */
  push(bytes: Uint8Array): void {
    const plain: number[] = [];
    for (const byte of bytes) {
      if (!this.#escaped) {
        if (byte === CTRL_A) this.#escaped = true;
        else plain.push(byte);
        continue;
      }
      this.#escaped = false;
      switch (byte) {
        case CTRL_A:
          plain.push(CTRL_A);
          break;
        case 0x78: // x
          return this.#target.quit();
        default:
          this.#target.say("Ctrl-A x ends the machine; Ctrl-A Ctrl-A sends it");
      }
    }
    if (plain.length > 0) this.#target.input(Uint8Array.from(plain));
  }
}

/** Feeds standard input to a guest. */
export class Terminal implements Disposable {
  readonly #target: TerminalTarget;
  readonly #idle: boolean;
  /** The mode that a terminal had; undefined for anything else. */
  readonly #mode: TerminalMode | undefined = terminalMode(STDIN);
  readonly #stack = new DisposableStack();
  #full = false;
  #lookTimer: ReturnType<typeof setTimeout> | undefined;
  #endTimer: ReturnType<typeof setInterval> | undefined;

  /**
   * Makes a terminal raw; a pipe stays as it is.
   *
   * @param target where input goes
   * @param idle input that is at its end from the start asks for nothing
   */
  constructor(target: TerminalTarget, idle: boolean) {
    this.#target = target;
    this.#idle = idle;
    if (this.#mode === undefined) return;
    this.#stack.use(aroundStops(() => this.#restore(), () => this.#makeRaw()));
    const restore = () => this.#restore();
    this.#stack.defer(restore);
    // The user's end of it comes before the machine's, which may take longer. A
    // fault of Vireo's own ends it behind the others, without any cleaning up.
    ended.addEventListener("abort", restore);
    addEventListener("error", restore);
    addEventListener("unhandledrejection", restore);
    this.#makeRaw();
  }

  /** Reads until it is disposed of, or the end of the input. */
  async feed(): Promise<void> {
    const keys = this.#mode && new EscapeKey({
      ...this.#target,
      input: (bytes) => this.#type(bytes),
    });
    let last: number | undefined;
    for (;;) {
      if (this.#mode) await this.#turn();
      const bytes = await readInput();
      if (this.#stack.disposed) return;
      if (bytes === undefined) break;
      last = bytes.at(-1);
      if (keys) keys.push(bytes);
      else await this.#target.input(bytes);
    }
    // A terminal's end is that it has hung up: no wish of anybody's.
    if (this.#mode || last === undefined && this.#idle) return;
    this.#endOfInput(last);
  }

  /** Restores the terminal. */
  [Symbol.dispose](): void {
    clearTimeout(this.#lookTimer);
    clearInterval(this.#endTimer);
    this.#stack.dispose();
  }

  /** Keys for a guest that takes none are lost, but for Ctrl-A and the next. */
  #type(bytes: Uint8Array): undefined {
    if (this.#full) return;
    const room = this.#target.input(bytes);
    if (room === undefined) return;
    this.#full = true;
    room.then(() => this.#full = false);
  }

  /**
   * Waits for keys that are for this process: in the background, it runs on
   * and reads nothing, which would stop it.
   */
  async #turn(): Promise<void> {
    for (;;) {
      await pollFd(STDIN, Poll.IN);
      if (inForeground(STDIN) || this.#stack.disposed) return;
      await new Promise((done) => setTimeout(done, LOOK_INTERVAL));
    }
  }

  /** As soon as it is this process's terminal. */
  #makeRaw(): void {
    clearTimeout(this.#lookTimer);
    if (inForeground(STDIN)) setTerminalMode(STDIN, rawMode(this.#mode!));
    else this.#lookTimer = setTimeout(() => this.#makeRaw(), LOOK_INTERVAL);
  }

  /** Of a terminal that is another program's by now, it keeps its hands off. */
  #restore(): void {
    if (inForeground(STDIN)) setTerminalMode(STDIN, this.#mode!);
  }

  /** Ctrl-D ends what reads: perhaps a program first, then the shell. */
  #endOfInput(last = NEWLINE): void {
    const end = Uint8Array.of(CTRL_D);
    if (last !== NEWLINE) this.#target.input(Uint8Array.of(NEWLINE));
    this.#type(end);
    this.#endTimer = setInterval(() => this.#type(end), END_REPEAT);
  }
}

/**
 * For the time before anything is made.
 *
 * @throws {VireoError} standard input can't be any
 */
export function checkInput(): void {
  if (isDirectory("/proc/self/fd/0")) {
    throw new VireoError("standard input is a directory");
  }
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false; // without /proc, it's known later
  }
}

/** The next bytes of standard input; undefined at its end. */
export async function readInput(): Promise<Uint8Array | undefined> {
  const bytes = new Uint8Array(CHUNK);
  for (;;) {
    try {
      const count = await Deno.stdin.read(bytes);
      return count === null ? undefined : bytes.subarray(0, count);
    } catch (error) {
      // Somebody has made it non-blocking, for all who share it.
      if (error instanceof Deno.errors.WouldBlock) await pollFd(STDIN, Poll.IN);
      // Not for reading, as nohup leaves it, or a terminal that is gone.
      else if (!(error instanceof Deno.errors.Interrupted)) return undefined;
    }
  }
}
