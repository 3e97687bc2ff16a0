/**
 * The kernel's command line as a value: parameters, quotes, and the `--` that
 * divides the kernel's words from init's, as Linux reads them (`next_arg` in
 * lib/cmdline.c, `parse_args` in kernel/params.c).
 *
 * @module
 */
import { COMMAND_LINE_LIMIT } from "../layout.ts";
import { VireoError } from "../../ffi/error.ts";
import { KernelError } from "../kernel/error.ts";

/** What `isspace` of the kernel takes, below 0x80. */
const SPACE = " \t\n\v\f\r";

/** One word, and where it stands. */
interface Parameter {
  name: string;
  /** Without the quotes around it; undefined: there is no `=`. */
  value: string | undefined;
  /** The index of its first character. */
  start: number;
  /** The index after its last character. */
  end: number;
  /** Its last quote is not closed: what follows would belong to it. */
  open: boolean;
}

/** A kernel command line. It never changes; {@linkcode add} makes another. */
export class KernelCommandLine {
  readonly #text: string;
  readonly #parameters: Parameter[] = [];
  /** Where more words of the kernel's may stand. */
  readonly #room: number;

  /** Takes any text, as the kernel does. */
  constructor(text: string) {
    this.#text = text;
    let at = skipSpaces(text, 0);
    while (at < text.length) {
      const parameter = nextParameter(text, at);
      if (parameter.name === "--" && parameter.value === undefined) break;
      this.#parameters.push(parameter);
      if (parameter.open) break; // it reaches to the end
      at = skipSpaces(text, parameter.end);
    }
    this.#room = at;
  }

  /**
   * The value of the last parameter of this name, without quotes; undefined
   * when there is none with a value.
   */
  get(name: string): string | undefined {
    return this.#parameters.findLast((parameter) =>
      isNamed(parameter, name) && parameter.value !== undefined
    )?.value;
  }

  /** Whether there is such a parameter, with or without a value; or this one. */
  has(name: string, value?: string): boolean {
    return this.#parameters.some((parameter) =>
      isNamed(parameter, name) &&
      (value === undefined || parameter.value === value)
    );
  }

  /** The line without the kernel's parameters of this name. */
  without(name: string): KernelCommandLine {
    const last = this.#parameters.findLast((word) => isNamed(word, name));
    if (last === undefined) return this;
    const before = this.#text.slice(0, last.start).trimEnd();
    const after = this.#text.slice(last.end).trimStart();
    const rest = [before, after].filter((part) => part !== "").join(" ");
    return new KernelCommandLine(rest).without(name);
  }

  /**
   * The line with `words` for the kernel behind its others: before a `--`, and
   * before a word whose quote is open, which would swallow them.
   *
   * @throws {VireoError} when the kernel would not read one as one word
   */
  add(...words: string[]): KernelCommandLine {
    for (const word of words) {
      const { name, end, open } = nextParameter(word, 0);
      if (name === "" || name === "--" || open || end < word.length) {
        const shown = JSON.stringify(word);
        throw new VireoError(`kernel command line: ${shown} is not one word`);
      }
    }
    if (words.length === 0) return this;
    const before = this.#text.slice(0, this.#room).trimEnd();
    const after = this.#text.slice(this.#room);
    const parts = [before, ...words, after].filter((part) => part !== "");
    return new KernelCommandLine(parts.join(" "));
  }

  /**
   * The line's bytes with the terminating zero, as a kernel gets them.
   *
   * @param limit bytes that the kernel takes, without the zero
   * @throws {KernelError} when it is longer, or has a zero byte inside
   */
  encode(limit: number = COMMAND_LINE_LIMIT): Uint8Array {
    const bytes = new TextEncoder().encode(this.#text);
    if (bytes.length > limit) {
      throw new KernelError(
        "command line",
        `is ${bytes.length} bytes long, and the kernel takes at most ${limit}`,
      );
    }
    if (bytes.includes(0)) {
      throw new KernelError("command line", "has a zero byte inside");
    }
    const terminated = new Uint8Array(bytes.length + 1);
    terminated.set(bytes);
    return terminated;
  }

  /** The line as text. */
  toString(): string {
    return this.#text;
  }
}

/** Names are the same with dashes and with underscores (`parameq`). */
function isNamed(parameter: Parameter, name: string): boolean {
  const plain = (name: string) => name.replaceAll("-", "_");
  return plain(parameter.name) === plain(name);
}

function skipSpaces(text: string, at: number): number {
  while (at < text.length && SPACE.includes(text[at]!)) at++;
  return at;
}

/**
 * `next_arg`: only double quotes are quotes, they may begin anywhere, and
 * nothing escapes them. Those around a value, and around a whole word, are
 * taken off.
 */
function nextParameter(text: string, start: number): Parameter {
  const quoted = text[start] === '"';
  const first = quoted ? start + 1 : start;
  let inQuote = quoted;
  let equals = 0;
  let end = first;
  for (; end < text.length; end++) {
    const character = text[end]!;
    if (!inQuote && SPACE.includes(character)) break;
    if (equals === 0 && character === "=" && end > first) equals = end;
    if (character === '"') inQuote = !inQuote;
  }
  const closes = end > first && text[end - 1] === '"';
  const word = { start, end, open: inQuote };
  if (equals === 0) {
    const name = text.slice(first, quoted && closes ? end - 1 : end);
    return { ...word, name, value: undefined };
  }
  const name = text.slice(first, equals);
  const quotedValue = text[equals + 1] === '"';
  const from = quotedValue ? equals + 2 : equals + 1;
  const to = (quoted || quotedValue) && closes ? end - 1 : end;
  return { ...word, name, value: text.slice(from, to) };
}
