/**
 * JSON, read a value at a time by whoever knows what has to come. What is wrong
 * is told in the words and at the places of serde_json, which clients of
 * Firecracker know: the column is the number of bytes that were looked at.
 *
 * @module
 */

/** A body is not what it has to be. */
export class BodyError extends Error {}

/** An update that changes nothing is as good as none. */
export class EmptyUpdate extends BodyError {}

/** How deep arrays and objects may be in each other. */
const DEPTH_MAX = 128;
const SPACES = [0x20, 0x09, 0x0a, 0x0d];
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/;
/** More of a number isn't looked at. */
const DIGITS_MAX = 1024;

/** What kind of value begins at a byte. */
export type Kind =
  | "null"
  | "boolean"
  | "number"
  | "string"
  | "list"
  | "object"
  | "end"
  | "nothing";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** One JSON text. */
export class JsonReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #depth = 0;

  /** Reads `bytes` from their beginning. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The kind of the next value, of which nothing is read yet. */
  peek(): Kind {
    this.#space();
    const byte = this.#bytes[this.#at];
    if (byte === undefined) return "end";
    const character = String.fromCharCode(byte);
    if (character === '"') return "string";
    if (character === "{") return "object";
    if (character === "[") return "list";
    if (character === "t" || character === "f") return "boolean";
    if (character === "n") return "null";
    return /[-\d]/.test(character) ? "number" : "nothing";
  }

  /** @throws {BodyError} there is more */
  end(): void {
    if (this.peek() !== "end") throw this.errorAhead("trailing characters");
  }

  /** `null`, `true` or `false`. */
  word(): null | boolean {
    const first = String.fromCharCode(this.#bytes[this.#at++]!);
    const [rest, value] = first === "n"
      ? ["ull", null]
      : first === "t"
      ? ["rue", true]
      : ["alse", false];
    for (const character of rest as string) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw this.error("EOF while parsing a value");
      this.#at++;
      if (byte !== character.charCodeAt(0)) throw this.error("expected ident");
    }
    return value as null | boolean;
  }

  /** A number, and how it is written. */
  number(): { value: number; text: string } {
    const rest = latin1(this.#bytes.subarray(this.#at, this.#at + DIGITS_MAX));
    const text = NUMBER.exec(rest)?.[0] ?? "";
    const next = rest[text.length] ?? "";
    this.#at += text.length;
    if (text === "" || /[.eE]/.test(next)) { // a part is missing
      this.#at++;
      throw this.#at >= this.#bytes.length
        ? this.error("EOF while parsing a value")
        : this.errorAhead("invalid number");
    }
    if (/\d/.test(next)) throw this.errorAhead("invalid number");
    const value = Number(text);
    if (Number.isFinite(value)) return { value, text };
    throw this.error("number out of range");
  }

  /** A string. */
  string(): string {
    const start = this.#at++;
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw this.error("EOF while parsing a string");
      this.#at++;
      if (byte === 0x22) break;
      if (byte === 0x5c) this.#escape();
      else if (byte < 0x20) {
        const what = "control character (\\u0000-\\u001F)";
        throw this.error(`${what} found while parsing a string`);
      }
    }
    try {
      return JSON.parse(decoder.decode(this.#bytes.subarray(start, this.#at)));
    } catch {
      throw this.error("invalid unicode code point");
    }
  }

  /**
   * The keys of an object, one after the other; after each come its colon and
   * its value.
   */
  *keys(): Generator<string, void> {
    this.#enter();
    for (let first = true;; first = false) {
      const kind = this.peek();
      if (kind === "end") throw this.error("EOF while parsing an object");
      if (this.#bytes[this.#at] === 0x7d) break;
      if (!first) {
        if (this.#bytes[this.#at] !== 0x2c) {
          throw this.errorAhead("expected `,` or `}`");
        }
        this.#at++;
        const after = this.peek();
        if (after === "end") throw this.error("EOF while parsing a value");
        if (this.#bytes[this.#at] === 0x7d) {
          throw this.errorAhead("trailing comma");
        }
      }
      if (this.peek() !== "string") {
        throw this.errorAhead("key must be a string");
      }
      const key = this.string();
      yield key;
    }
    this.#leave();
  }

  /** After a key that is taken: its value comes next. */
  colon(): void {
    const kind = this.peek();
    if (kind === "end") throw this.error("EOF while parsing an object");
    if (this.#bytes[this.#at] !== 0x3a) throw this.errorAhead("expected `:`");
    this.#at++;
  }

  /** The places of a list, one after the other; at each, its item is to be read. */
  *items(): Generator<number, void> {
    this.#enter();
    for (let index = 0;; index++) {
      const kind = this.peek();
      if (kind === "end") throw this.error("EOF while parsing a list");
      if (this.#bytes[this.#at] === 0x5d) break;
      if (index > 0) {
        if (this.#bytes[this.#at] !== 0x2c) {
          throw this.errorAhead("expected `,` or `]`");
        }
        this.#at++;
        const after = this.peek();
        if (after === "end") throw this.error("EOF while parsing a value");
        if (this.#bytes[this.#at] === 0x5d) {
          throw this.errorAhead("trailing comma");
        }
      }
      yield index;
    }
    this.#leave();
  }

  /** Any value; the keys of objects are in order. */
  any(): unknown {
    switch (this.peek()) {
      case "null":
      case "boolean":
        return this.word();
      case "number":
        return this.number().value;
      case "string":
        return this.string();
      case "list": {
        const list: unknown[] = [];
        for (const _ of this.items()) list.push(this.any());
        return list;
      }
      case "object": {
        const members: [string, unknown][] = [];
        for (const key of this.keys()) {
          this.colon();
          members.push([key, this.any()]);
        }
        members.sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
        return Object.fromEntries(members); // "__proto__" is a key as others
      }
      default:
        throw this.noValue();
    }
  }

  /** A value has to come, and none does. */
  noValue(): BodyError {
    return this.peek() === "end"
      ? this.error("EOF while parsing a value")
      : this.errorAhead("expected value");
  }

  /** What is wrong with what was read. */
  error(text: string): BodyError {
    return this.#error(text, this.#at);
  }

  /** What is wrong with the next byte. */
  errorAhead(text: string): BodyError {
    return this.#error(text, Math.min(this.#at + 1, this.#bytes.length));
  }

  #error(text: string, at: number): BodyError {
    const start = this.#bytes.subarray(0, at).lastIndexOf(0x0a) + 1;
    let line = 1;
    for (const byte of this.#bytes.subarray(0, start)) {
      if (byte === 0x0a) line++;
    }
    return new BodyError(`${text} at line ${line} column ${at - start}`);
  }

  #enter(): void {
    if (++this.#depth >= DEPTH_MAX) {
      throw this.errorAhead("recursion limit exceeded");
    }
    this.#at++;
  }

  #leave(): void {
    this.#depth--;
    this.#at++;
  }

  #space(): void {
    while (SPACES.includes(this.#bytes[this.#at]!)) this.#at++;
  }

  #escape(): void {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw this.error("EOF while parsing a string");
    this.#at++;
    if (byte !== 0x75) { // u
      if (!'"\\/bfnrt'.includes(String.fromCharCode(byte))) {
        throw this.error("invalid escape");
      }
      return;
    }
    const digits = latin1(this.#bytes.subarray(this.#at, this.#at + 4));
    this.#at += digits.length;
    if (digits.length < 4) throw this.error("EOF while parsing a string");
    if (!/^[\da-fA-F]{4}$/.test(digits)) throw this.error("invalid escape");
  }
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
