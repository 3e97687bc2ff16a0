/**
 * The last that a guest said on its console.
 *
 * @module
 */
import { LastBytes } from "./last_bytes.ts";

/** Bytes that are kept. */
const SIZE = 4096;
/** Lines that are shown. */
const LINES = 10;

/** ECMA-48: control strings, such as `--exec`'s markers, and sequences. */
const ESCAPES =
  // deno-lint-ignore no-control-regex
  /\x1b[_\]P^X].*?(?:\x1b\\|\x07)|\x1b\[[0-?]*[ -/]*[@-~]|\x1b./gs;
// deno-lint-ignore no-control-regex
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

/** Keeps the end of a stream of bytes. */
export class ConsoleTail {
  readonly #last = new LastBytes(SIZE);

  /** Takes the next bytes. */
  push(bytes: Uint8Array): void {
    this.#last.push(bytes);
  }

  /** The last lines, without anything that a terminal would act on. */
  lines(): string[] {
    const text = new TextDecoder().decode(this.#last.bytes())
      .replaceAll(ESCAPES, "").replaceAll(/\r+(?=\n)/g, "")
      .replaceAll("\r", "\n");
    const lines = text.split("\n").slice(this.#last.cut ? 1 : 0)
      .map((line) => line.replaceAll(CONTROLS, "").trimEnd());
    return lines.filter((line) => line !== "").slice(-LINES);
  }

  /** The lines below a message that ends in a colon; or that there are none. */
  below(message: string): string {
    const lines = this.lines();
    if (lines.length === 0) return `${message} nothing`;
    return [message, ...lines.map((line) => `  ${line}`)].join("\n");
  }
}
