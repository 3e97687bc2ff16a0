/**
 * The user's end of the serial console: a raw terminal with an escape key,
 * or a pipe.
 *
 * @module
 */

const CTRL_A = 0x01;
const CTRL_D = 0x04;
const NEWLINE = 0x0a;

/** How often a pipe's end is told to a guest that has not ended, in ms. */
const END_REPEAT = 2000;

/** Where input goes. */
export interface TerminalTarget {
  /** Bytes for the guest. */
  input(bytes: Uint8Array): void;
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
  readonly #raw: boolean;
  readonly #reader = Deno.stdin.readable.getReader();
  #closed = false;
  #endTimer: ReturnType<typeof setInterval> | undefined;

  /** Makes a terminal raw; a pipe stays as it is. */
  constructor() {
    this.#raw = Deno.stdin.isTerminal();
    if (this.#raw) Deno.stdin.setRaw(true);
  }

  /** Reads until {@linkcode Terminal.close}, or the end of a pipe. */
  async feed(target: TerminalTarget): Promise<void> {
    const keys = this.#raw ? new EscapeKey(target) : undefined;
    let last = NEWLINE;
    for (;;) {
      const { value } = await this.#reader.read();
      if (this.#closed) return;
      if (value === undefined) break;
      last = value.at(-1) ?? last;
      if (keys) keys.push(value);
      else target.input(value);
    }
    this.#endOfInput(target, last);
  }

  /** Restores the terminal. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#endTimer);
    if (this.#raw) Deno.stdin.setRaw(false);
    this.#reader.cancel().catch(() => {});
  }

  /** Ctrl-D ends what reads: perhaps a program first, then the shell. */
  #endOfInput(target: TerminalTarget, last: number): void {
    const end = Uint8Array.of(CTRL_D);
    if (last !== NEWLINE) target.input(Uint8Array.of(NEWLINE));
    target.input(end);
    this.#endTimer = setInterval(() => target.input(end), END_REPEAT);
  }
}
