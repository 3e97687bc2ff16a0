/**
 * The language of the agent in the prepared root image's init, as frames of
 * bytes: `images/linux/agent.h` is the other end. It knows nothing of sockets,
 * and takes any bytes.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";

/** Commands that the guest runs at once. */
export const CHANNELS = 32;
/** The most bytes that one frame has. */
export const PAYLOAD = 4096;
/** Bytes of a command's input that the guest has room for. */
export const INPUT_WINDOW = 16 * 1024;
/** Bytes of each of its streams that this end has room for. */
export const OUTPUT_WINDOW = 64 * 1024;

const HEAD = 4;
const FRAME_END = 0xa5;
const HELLO_BYTES = 8;

/** Types of frames to the guest. */
export const To = {
  HELLO: 1,
  ARGUMENTS: 2,
  START: 3,
  INPUT: 4,
  CREDIT: 5,
  SIGNAL: 6,
  SIZE: 7,
  KILL: 8,
} as const;

/** Types of frames from it. */
export const From = {
  HELLO: 1,
  OUTPUT: 2,
  ERRORS: 3,
  CREDIT: 4,
  END: 5,
  /** Only of a control socket: a text, why there is no command any more. */
  FAILED: 6,
} as const;

/** How a command has ended, in an {@linkcode From.END}. */
export const Ended = { EXIT: 0, SIGNAL: 1, REFUSED: 2 } as const;

/** A frame. */
export interface Frame {
  /** {@linkcode From}, or {@linkcode To}. */
  type: number;
  /** The command's. */
  channel: number;
  /** What comes with it; a copy. */
  bytes: Uint8Array<ArrayBuffer>;
}

/** A frame's bytes. */
export function encodeFrame(
  type: number,
  channel: number,
  bytes: Uint8Array = new Uint8Array(),
): Uint8Array<ArrayBuffer> {
  const { length } = bytes;
  const frame = new Uint8Array(HEAD + length + 1);
  frame.set([type, channel, length & 0xff, length >> 8]);
  frame.set(bytes, HEAD);
  frame[HEAD + length] = FRAME_END;
  return frame;
}

/**
 * The start of a session: whatever frame the guest was in the middle of is over
 * with that, since it does not end as a frame does.
 */
export function encodeHello(number: Uint8Array): Uint8Array<ArrayBuffer> {
  const hello = encodeFrame(To.HELLO, 0, number);
  const zeros = HEAD + PAYLOAD + 1;
  const bytes = new Uint8Array(zeros + hello.length);
  bytes.set(hello, zeros);
  return bytes;
}

/** A session's number. */
export function newNumber(): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(HELLO_BYTES));
}

/**
 * The most that is skipped before the answer to a HELLO: more than was on its way
 * when the session before was over.
 */
const NOISE_MAX = 4 << 20;

/** The guest's words make no sense. */
export class Nonsense extends VireoError {}

/**
 * Cuts what the other end says into frames: a guest's behind its answer to our
 * HELLO. It keeps no more than one frame.
 */
export class FrameReader {
  readonly #answer: Uint8Array;
  #held: Uint8Array<ArrayBuffer> = new Uint8Array();
  #greeted: boolean;
  #noise = 0;

  /** Of the session with this number; none: nothing comes before the frames. */
  constructor(number?: Uint8Array) {
    this.#greeted = number === undefined;
    this.#answer = encodeFrame(From.HELLO, 0, number);
  }

  /** The guest has answered. */
  get greeted(): boolean {
    return this.#greeted;
  }

  /**
   * The frames that are whole with these bytes.
   *
   * @throws {Nonsense} it is no frame
   */
  *take(bytes: Uint8Array): Generator<Frame> {
    let rest = joined(this.#held, bytes);
    if (!this.#greeted) rest = this.#lookForAnswer(rest);
    while (this.#greeted && rest.length > HEAD) {
      const [type, channel, low, high] = rest as unknown as number[];
      const length = low! | high! << 8;
      if (length > PAYLOAD || channel! >= CHANNELS) {
        throw new Nonsense("its agent's frames have no such head");
      }
      const end = HEAD + length;
      if (rest.length <= end) break;
      if (rest[end] !== FRAME_END) {
        throw new Nonsense("its agent's frame has no end");
      }
      yield { type: type!, channel: channel!, bytes: rest.slice(HEAD, end) };
      rest = rest.subarray(end + 1);
    }
    this.#held = rest.slice();
  }

  /** What is behind the answer, or might be a part of it. */
  #lookForAnswer(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const { length } = this.#answer;
    for (let at = 0; at + length <= bytes.length; at++) {
      if (this.#answer.every((byte, i) => bytes[at + i] === byte)) {
        this.#greeted = true;
        return bytes.subarray(at + length);
      }
    }
    const kept = bytes.subarray(Math.max(0, bytes.length - length + 1));
    this.#noise += bytes.length - kept.length;
    if (this.#noise <= NOISE_MAX) return kept;
    throw new Nonsense("its agent makes noise, and does not answer");
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(a.length + b.length);
  bytes.set(a);
  bytes.set(b, a.length);
  return bytes;
}

/** What a command is started with. */
export interface CommandWords {
  /** Program and arguments. */
  words: readonly string[];
  /** Variables besides init's, or in their place. */
  env?: Readonly<Record<string, string>>;
  /** The folder that it starts in; default: `/root`. */
  cwd?: string;
}

/** The most bytes of {@linkcode encodeWords}: `RECORDS_MAX` in `command.h`. */
const WORDS_BYTES_MAX = 128 * 1024;
const WORDS_MAX = 1000;

/**
 * The records of `command.h`.
 *
 * @throws {VireoError} the guest can't take them
 */
export function encodeWords(
  { words, env = {}, cwd }: CommandWords,
): Uint8Array<ArrayBuffer> {
  const variables = Object.entries(env);
  if (words.length === 0) throw new VireoError("exec: no command");
  for (const [name] of variables) {
    if (name === "" || name.includes("=")) {
      throw new VireoError(`exec: env: ${JSON.stringify(name)} is no name`);
    }
  }
  const records = [
    ...words.map((word) => `a${word}`),
    ...variables.map(([name, value]) => `e${name}=${value}`),
    ...(cwd === undefined ? [] : [`d${cwd}`]),
  ];
  const zero = records.find((record) => record.includes("\0"));
  if (zero !== undefined) {
    throw new VireoError("exec: no word may have a zero byte");
  }
  const bytes = new TextEncoder().encode(records.join("\0") + "\0");
  if (words.length > WORDS_MAX || variables.length > WORDS_MAX) {
    throw new VireoError(`exec: at most ${WORDS_MAX} words and variables`);
  }
  if (bytes.length <= WORDS_BYTES_MAX) return bytes;
  throw new VireoError(
    `exec: ${bytes.length} bytes of words; at most ${WORDS_BYTES_MAX}`,
  );
}

/** `bytes` in pieces that fit into a frame. */
export function* pieces(
  bytes: Uint8Array,
  most: number = PAYLOAD,
): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += most) {
    yield bytes.subarray(at, at + most);
  }
}
