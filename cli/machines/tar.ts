/**
 * Folders as tar streams: ustar, with GNU's long names, as busybox's and GNU's
 * tar have it. What comes from a guest is not trusted: nothing is made outside
 * the folder, whatever names and links say.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { ifThere } from "../../ffi/file.ts";

const BLOCK = 512;
/** struct posix_header: where each field is, and how long. */
const Field = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  chksum: [148, 8],
  typeflag: [156, 1],
  linkname: [157, 100],
  magic: [257, 8],
  prefix: [345, 155],
} as const;
type FieldName = keyof typeof Field;

const Type = {
  FILE: "0",
  HARD_LINK: "1",
  LINK: "2",
  FOLDER: "5",
  LONG_NAME: "L",
  LONG_LINK: "K",
} as const;

/** The longest name that is taken. */
const NAME_MAX = 64 * 1024;
const OCTAL_SIZE_MAX = 8 ** 11;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * What is in `folder`, and its own mode.
 *
 * @throws {VireoError} there is something that is no file, folder or link
 */
export async function* tarOf(folder: string): AsyncGenerator<Uint8Array> {
  yield* entriesOf(folder, ".");
  yield new Uint8Array(2 * BLOCK); // the end
}

async function* entriesOf(
  path: string,
  name: string,
): AsyncGenerator<Uint8Array> {
  const { isDirectory, isSymlink, isFile, mode, size } = Deno.lstatSync(path);
  const octal = (mode ?? 0o644) & 0o777;
  if (isSymlink) {
    yield* header(name, octal, Type.LINK, 0, Deno.readLinkSync(path));
  } else if (isDirectory) {
    yield* header(`${name}/`, octal, Type.FOLDER, 0);
    const names = [...Deno.readDirSync(path)].map(({ name }) => name);
    for (const one of names.toSorted()) {
      yield* entriesOf(`${path}/${one}`, `${name}/${one}`);
    }
  } else if (isFile) {
    yield* header(name, octal, Type.FILE, size);
    yield* bytesOf(path, size);
  } else {
    throw new VireoError(`"${path}" is no file, folder or link`);
  }
}

function* header(
  name: string,
  mode: number,
  type: string,
  size: number,
  link = "",
): Generator<Uint8Array> {
  const [bytes, target] = [encoder.encode(name), encoder.encode(link)];
  const longest = Field.name[1] - 1;
  if (bytes.length > longest) yield* long(Type.LONG_NAME, bytes);
  if (target.length > longest) yield* long(Type.LONG_LINK, target);
  yield block(bytes.subarray(0, longest), mode, type, size, target);
}

/** GNU's: an entry whose contents are the next one's name. */
function* long(type: string, bytes: Uint8Array): Generator<Uint8Array> {
  const name = encoder.encode("././@LongLink");
  yield block(name, 0, type, bytes.length + 1, new Uint8Array());
  const padded = new Uint8Array(roundedUp(bytes.length + 1));
  padded.set(bytes);
  yield padded;
}

function block(
  name: Uint8Array,
  mode: number,
  type: string,
  size: number,
  link: Uint8Array,
): Uint8Array {
  const made = new Uint8Array(BLOCK);
  const put = (field: FieldName, value: string | Uint8Array) => {
    const [at, length] = Field[field];
    const bytes = typeof value === "string" ? encoder.encode(value) : value;
    made.set(bytes.subarray(0, length), at);
  };
  const octal = (value: number, digits: number) =>
    value.toString(8).padStart(digits, "0");
  put("name", name);
  put("mode", octal(mode, 7));
  put("uid", octal(0, 7));
  put("gid", octal(0, 7));
  if (size < OCTAL_SIZE_MAX) put("size", octal(size, 11));
  else { // GNU's: base 256
    const view = new DataView(made.buffer, Field.size[0], Field.size[1]);
    view.setUint8(0, 0x80);
    view.setBigUint64(4, BigInt(size));
  }
  put("mtime", octal(Math.floor(Date.now() / 1000), 11));
  put("typeflag", type);
  put("linkname", link.subarray(0, Field.linkname[1] - 1));
  put("magic", "ustar  \0");
  put("chksum", `${octal(checksum(made), 6)}\0 `);
  return made;
}

/** Of a header, its own field as spaces. */
function checksum(bytes: Uint8Array): number {
  const [at, length] = Field.chksum;
  return bytes.reduce(
    (sum, byte, i) => sum + (i >= at && i < at + length ? 0x20 : byte),
    0,
  );
}

async function* bytesOf(
  path: string,
  size: number,
): AsyncGenerator<Uint8Array> {
  using file = await Deno.open(path);
  let left = size;
  while (left > 0) {
    const chunk = new Uint8Array(Math.min(left, 1 << 16));
    const count = await file.read(chunk);
    if (count === null) throw new VireoError(`"${path}" has become shorter`);
    yield chunk.subarray(0, count);
    left -= count;
  }
  if (size % BLOCK > 0) yield new Uint8Array(roundedUp(size) - size);
}

/**
 * Makes what a stream has in `folder`, which is empty, and gives it the mode of
 * the stream's.
 *
 * @throws {VireoError} it is no such stream, or wants out of the folder
 */
export async function untar(
  stream: AsyncIterable<Uint8Array>,
  folder: string,
): Promise<void> {
  const input = new Blocks(stream);
  const modes: [path: string, mode: number][] = [];
  let longName: string | undefined, longLink: string | undefined;
  for (;;) {
    const head = await input.exactly(BLOCK);
    if (head.every((byte) => byte === 0)) break;
    const { type, size, mode, ...short } = read(head);
    if (type === Type.LONG_NAME || type === Type.LONG_LINK) {
      if (size > NAME_MAX) throw wrong("a name is too long");
      const text = textIn(await input.padded(size));
      if (type === Type.LONG_NAME) longName = text;
      else longLink = text;
      continue;
    }
    const path = within(folder, longName ?? short.name);
    const link = longLink ?? short.link;
    longName = longLink = undefined;
    switch (type) {
      case Type.FOLDER:
        if (path !== folder) Deno.mkdirSync(path);
        modes.push([path, mode]);
        break;
      case Type.FILE:
      case "\0":
        await writeFile(path, mode, input.parts(size));
        await input.exactly(roundedUp(size) - size);
        break;
      case Type.LINK:
        Deno.symlinkSync(link, path);
        break;
      case Type.HARD_LINK: {
        const source = within(folder, link);
        if (!Deno.lstatSync(source).isFile) throw wrong(`"${link}" is no file`);
        Deno.linkSync(source, path);
        break;
      }
      default:
        throw new VireoError(`"${short.name}" is no file, folder or link`);
    }
  }
  // A folder that may not be written to is filled first.
  for (const [path, mode] of modes.toReversed()) Deno.chmodSync(path, mode);
  await input.rest();
}

/** A name's place: each folder on the way is one, and no link. */
function within(folder: string, name: string): string {
  const words = name.split("/").filter((word) => word !== "" && word !== ".");
  if (words.includes("..") || name.includes("\0")) {
    throw wrong(`"${name}" is not in the folder`);
  }
  let path = folder;
  for (const word of words.slice(0, -1)) {
    path += `/${word}`;
    if (ifThere(() => Deno.lstatSync(path))?.isDirectory) continue;
    throw wrong(`"${name}" is not in the folder`);
  }
  return words.length > 0 ? `${path}/${words.at(-1)}` : folder;
}

async function writeFile(
  path: string,
  mode: number,
  parts: AsyncIterable<Uint8Array>,
): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true });
  for await (const bytes of parts) {
    for (let at = 0; at < bytes.length;) {
      at += await file.write(bytes.subarray(at));
    }
  }
  Deno.chmodSync(path, mode);
}

function read(head: Uint8Array) {
  const field = (name: FieldName) => {
    const [at, length] = Field[name];
    return head.subarray(at, at + length);
  };
  const number = (name: FieldName) => {
    const bytes = field(name);
    if (bytes[0]! & 0x80) {
      return Number(
        bytes.subarray(1).reduce((sum, byte) => sum * 256n + BigInt(byte), 0n),
      );
    }
    const text = textIn(bytes).trim();
    if (!/^[0-7]*$/.test(text)) throw wrong("a number is none");
    return Number.parseInt(text || "0", 8);
  };
  if (number("chksum") !== checksum(head)) throw wrong("a checksum is wrong");
  // GNU's magic ends in spaces, and there is no prefix then.
  const prefix = textIn(field("magic")) === "ustar"
    ? textIn(field("prefix"))
    : "";
  const size = number("size");
  if (!Number.isSafeInteger(size)) throw wrong("a size is none");
  return {
    name: prefix ? `${prefix}/${textIn(field("name"))}` : textIn(field("name")),
    link: textIn(field("linkname")),
    type: String.fromCharCode(field("typeflag")[0]!),
    mode: number("mode") & 0o777,
    size,
  };
}

/** Up to a zero. */
function textIn(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

function roundedUp(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

function wrong(text: string): VireoError {
  return new VireoError(`the guest's tar makes no sense: ${text}`);
}

/** A stream in pieces of the length that is asked for. */
class Blocks {
  readonly #stream: AsyncIterator<Uint8Array>;
  #held = new Uint8Array();

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.#stream = stream[Symbol.asyncIterator]();
  }

  /** `size` bytes, as they come. */
  async *parts(size: number): AsyncGenerator<Uint8Array> {
    for (let left = size; left > 0;) {
      if (this.#held.length === 0) await this.#more();
      const part = this.#held.subarray(0, left);
      this.#held = this.#held.subarray(part.length);
      left -= part.length;
      yield part;
    }
  }

  /** `size` bytes at once. */
  async exactly(size: number): Promise<Uint8Array> {
    const all = new Uint8Array(size);
    let at = 0;
    for await (const part of this.parts(size)) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  /** `size` bytes, and what follows up to the next block. */
  async padded(size: number): Promise<Uint8Array> {
    return (await this.exactly(roundedUp(size))).subarray(0, size);
  }

  /** Nobody needs what is left, but its sender waits for a reader. */
  async rest(): Promise<void> {
    while (!(await this.#stream.next()).done);
  }

  async #more(): Promise<void> {
    const { done, value } = await this.#stream.next();
    if (done) throw wrong("it ends in the middle");
    this.#held = new Uint8Array(value);
  }
}
