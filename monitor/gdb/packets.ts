/**
 * The frames of gdb's remote serial protocol ("Overview" in appendix E of gdb's
 * manual): bytes in, packets out. It knows nothing of sockets or machines, and
 * takes any bytes.
 *
 * ```
 * $qSupported:swbreak+#xx    a packet: data, and the sum of its bytes
 * +  -                       the last packet was right, or is wanted again
 * 0x03                       the user presses Ctrl-C
 * ```
 *
 * @module
 */

/** The longest packet's data in bytes, as gdb is told. */
export const PACKET_MAX = 16 * 1024;

/** What came. */
export type Frame =
  /** A packet whose sum is right; escapes are undone. */
  | { type: "packet"; data: Uint8Array }
  /** A packet whose sum is wrong. */
  | { type: "damaged" }
  /** `+` */
  | { type: "ack" }
  /** `-` */
  | { type: "nack" }
  /** Ctrl-C. */
  | { type: "interrupt" }
  /** What is no such protocol, or is too long: no frame comes any more. */
  | { type: "garbage" };

const DOLLAR = 0x24;
const HASH = 0x23;
const PLUS = 0x2b;
const MINUS = 0x2d;
const CTRL_C = 0x03;
const ESCAPE = 0x7d;
const ESCAPED_BY = 0x20;
const STAR = 0x2a;

const SIMPLE = new Map<number, Frame>([
  [PLUS, { type: "ack" }],
  [MINUS, { type: "nack" }],
  [CTRL_C, { type: "interrupt" }],
]);

/** Cuts a stream of bytes into frames; holds at most one packet. */
export class FrameReader {
  readonly #buffer = new Uint8Array(PACKET_MAX);
  #length = 0;
  #sum = 0;
  #state: "between" | "data" | "sum" | "garbage" = "between";
  #escaped = false;
  #digits = "";

  /** The frames that these bytes complete. */
  *push(bytes: Uint8Array): Generator<Frame> {
    for (const byte of bytes) {
      const frame = this.#take(byte);
      if (frame === undefined) continue;
      if (frame.type === "garbage") this.#state = "garbage";
      yield frame;
      if (frame.type === "garbage") return;
    }
  }

  #take(byte: number): Frame | undefined {
    switch (this.#state) {
      case "between":
        if (byte !== DOLLAR) return SIMPLE.get(byte) ?? { type: "garbage" };
        this.#begin();
        return undefined;
      case "data":
        return this.#data(byte);
      case "sum":
        return this.#checksum(byte);
      case "garbage":
        return undefined;
    }
  }

  #begin(): void {
    this.#state = "data";
    this.#length = 0;
    this.#sum = 0;
    this.#escaped = false;
    this.#digits = "";
  }

  #data(byte: number): Frame | undefined {
    if (byte === HASH) {
      this.#state = "sum";
      return undefined;
    }
    this.#sum = this.#sum + byte & 0xff;
    if (byte === ESCAPE && !this.#escaped) {
      this.#escaped = true;
      return undefined;
    }
    if (this.#length === PACKET_MAX) return { type: "garbage" };
    this.#buffer[this.#length++] = this.#escaped ? byte ^ ESCAPED_BY : byte;
    this.#escaped = false;
    return undefined;
  }

  #checksum(byte: number): Frame | undefined {
    this.#digits += String.fromCharCode(byte);
    if (this.#digits.length < 2) return undefined;
    this.#state = "between";
    const right = /^[0-9a-f]{2}$/i.test(this.#digits) &&
      parseInt(this.#digits, 16) === this.#sum;
    if (!right) return { type: "damaged" };
    return { type: "packet", data: this.#buffer.slice(0, this.#length) };
  }
}

/** A packet with `data`, as it goes over the wire. */
export function framed(data: string | Uint8Array): Uint8Array<ArrayBuffer> {
  const plain = typeof data === "string" ? latin1(data) : data;
  const bytes: number[] = [DOLLAR];
  let sum = 0;
  const add = (byte: number) => {
    bytes.push(byte);
    sum = sum + byte & 0xff;
  };
  for (const byte of plain) {
    const special = byte === DOLLAR || byte === HASH || byte === ESCAPE ||
      byte === STAR;
    if (special) add(ESCAPE);
    add(special ? byte ^ ESCAPED_BY : byte);
  }
  bytes.push(HASH, ...latin1(hexOf(Uint8Array.of(sum))));
  return Uint8Array.from(bytes);
}

/** A byte for each character, of those up to U+00FF. */
export function latin1(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

/** Two digits for each byte. */
export function hexOf(bytes: Uint8Array): string {
  return bytes.toHex();
}

/** The bytes of such digits; undefined: they are none. */
export function bytesOf(hex: string): Uint8Array<ArrayBuffer> | undefined {
  if (hex.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(hex)) return undefined;
  return Uint8Array.fromHex(hex);
}
