/**
 * Commands for the shell of the prepared root image: how they reach it, and
 * how their output and exit status come back over the console.
 *
 * @module
 */

/** What ends a marker: ESC \, the string terminator of ECMA-48. */
const TERMINATOR = [0x1b, 0x5c];

/** Longer than any marker: what has no end by then is none. */
const MARKER_MAX = 64;

/**
 * The commands as a word for the kernel command line. The kernel hands
 * unknown words to init as environment variables, and takes quotes around
 * blanks, but no quote within. The image's init decodes it with `%b` rules.
 */
export function execWord(commands: string): string {
  let text = "";
  for (const byte of new TextEncoder().encode(commands)) {
    const plain = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
    text += plain
      ? String.fromCharCode(byte)
      : `\\0${byte.toString(8).padStart(3, "0")}`;
  }
  return `VIREO_EXEC="${text}"`;
}

/** A word that nothing in the guest's output will be equal to by accident. */
export function makeNonce(): string {
  return crypto.randomUUID().slice(0, 8);
}

/**
 * Splits the console's stream at the markers `ESC _ vireo:NONCE:... ESC \`,
 * which init prints: `begin`, `end:STATUS`, and `ready` before a shell.
 */
export class ExecStream {
  /** The commands' exit status, once they have ended. */
  status: number | undefined;
  /** The commands have begun. */
  began = false;
  readonly #prefix: Uint8Array;
  readonly #boot: (bytes: Uint8Array) => void;
  readonly #output: (bytes: Uint8Array) => void;
  #held: Uint8Array = new Uint8Array();

  /**
   * A splitter for one boot.
   *
   * @param nonce as on the kernel command line
   * @param boot gets what the kernel and init print
   * @param output gets what the commands print
   */
  constructor(
    nonce: string,
    boot: (bytes: Uint8Array) => void,
    output: (bytes: Uint8Array) => void,
  ) {
    this.#prefix = new TextEncoder().encode(`\x1b_vireo:${nonce}:`);
    this.#boot = boot;
    this.#output = output;
  }

  /** Takes the next bytes of the console. */
  push(bytes: Uint8Array): void {
    let rest = new Uint8Array(this.#held.length + bytes.length);
    rest.set(this.#held);
    rest.set(bytes, this.#held.length);
    for (;;) {
      const start = find(rest, this.#prefix);
      this.#emit(rest.subarray(0, start));
      rest = rest.subarray(start);
      const end = rest.length > this.#prefix.length
        ? indexOfTerminator(rest)
        : -1;
      if (end < 0 && rest.length < MARKER_MAX) break;
      if (end < 0 || end > MARKER_MAX) {
        this.#emit(rest.subarray(0, 1));
        rest = rest.subarray(1);
        continue;
      }
      this.#marker(rest.subarray(this.#prefix.length, end));
      rest = rest.subarray(end + TERMINATOR.length);
    }
    this.#held = rest.slice();
  }

  /** Lets go of what looked like the start of a marker: no more comes. */
  flush(): void {
    this.#emit(this.#held);
    this.#held = new Uint8Array();
  }

  #emit(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const running = this.began && this.status === undefined;
    (running ? this.#output : this.#boot)(bytes);
  }

  #marker(bytes: Uint8Array): void {
    const [name, status] = new TextDecoder().decode(bytes).split(":");
    if (name === "begin") this.began = true;
    if (name === "end") this.status = Number(status);
  }
}

/** Where `prefix`, or a part of it at the very end, begins; else the length. */
function find(bytes: Uint8Array, prefix: Uint8Array): number {
  for (let at = 0; at < bytes.length; at++) {
    const length = Math.min(prefix.length, bytes.length - at);
    let equal = 0;
    while (equal < length && bytes[at + equal] === prefix[equal]) equal++;
    if (equal === length) return at;
  }
  return bytes.length;
}

function indexOfTerminator(bytes: Uint8Array): number {
  for (let at = 2; at + 1 < bytes.length; at++) {
    if (bytes[at] === TERMINATOR[0] && bytes[at + 1] === TERMINATOR[1]) {
      return at;
    }
  }
  return -1;
}
