/**
 * Where a text stops being JSON (RFC 8259). `JSON.parse` doesn't always say,
 * and takes the last of two equal keys without a word.
 *
 * @module
 */

/** The first thing in a text that is wrong. */
export interface JsonError {
  /** Line, from 1. */
  line: number;
  /** Column in UTF-16 units, from 1. */
  column: number;
  /** What is wrong there. */
  text: string;
}

const SPACE = /[ \t\n\r]*/y;
const STRING =
  // deno-lint-ignore no-control-regex
  /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SCALAR =
  /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/y;
/** What a message shows of the text: a word, or one character. */
const FOUND = /[\w.+-]{1,20}|[^]/uy;

/** An object or array that is open. */
interface Open {
  closer: "}" | "]";
  keys: Set<string>;
}

/** The first mistake in `text`, or undefined when it is JSON. */
export function jsonError(text: string): JsonError | undefined {
  return new Scanner(text).run();
}

class Scanner {
  readonly #text: string;
  readonly #open: Open[] = [];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  run(): JsonError | undefined {
    for (;;) {
      const mistake = this.#value() ?? this.#afterValue();
      if (mistake === END) return undefined;
      if (mistake !== undefined) return this.#error(mistake);
    }
  }

  /** A scalar, or the start of an array or object up to its first value. */
  #value(): string | undefined {
    for (;;) {
      if (this.#take("[")) {
        this.#open.push({ closer: "]", keys: new Set() });
        if (this.#peek("]")) return undefined;
      } else if (this.#take("{")) {
        this.#open.push({ closer: "}", keys: new Set() });
        if (this.#peek("}")) return undefined;
        const mistake = this.#key();
        if (mistake !== undefined) return mistake;
      } else {
        const scalar = this.#match(STRING) ?? this.#match(SCALAR);
        return scalar === undefined ? "a value is expected" : undefined;
      }
    }
  }

  /** Closers, then a comma and what comes before the next value. */
  #afterValue(): string | undefined {
    for (;;) {
      const top = this.#open.at(-1);
      if (top === undefined) {
        return this.#atEnd ? END : "nothing more is expected";
      }
      if (this.#take(top.closer)) {
        this.#open.pop();
        continue;
      }
      if (!this.#take(",")) return `"," or "${top.closer}" is expected`;
      if (this.#peek(top.closer)) {
        return `no comma is allowed before "${top.closer}"`;
      }
      return top.closer === "}" ? this.#key() : undefined;
    }
  }

  #key(): string | undefined {
    this.#match(SPACE);
    const start = this.#at;
    const quoted = this.#match(STRING);
    if (quoted === undefined) return "a key in double quotes is expected";
    const key: string = JSON.parse(quoted);
    const { keys } = this.#open.at(-1)!;
    if (keys.has(key)) {
      this.#at = start;
      return `the key "${key}" is there already`;
    }
    keys.add(key);
    return this.#take(":") ? undefined : '":" is expected';
  }

  get #atEnd(): boolean {
    this.#match(SPACE);
    return this.#at === this.#text.length;
  }

  #peek(character: string): boolean {
    return !this.#atEnd && this.#text[this.#at] === character;
  }

  #take(character: string): boolean {
    if (!this.#peek(character)) return false;
    this.#at++;
    return true;
  }

  /** The text that matches here, after which it goes on. */
  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text)?.[0];
    this.#at += match?.length ?? 0;
    return match;
  }

  #error(mistake: string): JsonError {
    const atEnd = this.#atEnd;
    const before = this.#text.slice(0, this.#at);
    const found = atEnd ? "the end" : JSON.stringify(this.#match(FOUND));
    return {
      line: before.split("\n").length,
      column: before.length - before.lastIndexOf("\n"),
      text: `${mistake}, not ${found}`,
    };
  }
}

/** In place of a mistake: there is none, and nothing follows. */
const END = "";
