/**
 * A small encoder of AML, the byte code in which ACPI describes devices: as
 * much of it as our DSDT needs. Section numbers are those of ACPI 6.3; each
 * function is named after the ASL operator that it encodes.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";

/** Encoded terms, byte by byte. */
export type Aml = readonly number[];

/** Opcodes (§20.3). */
const Op = {
  ZERO: 0x00,
  ONE: 0x01,
  NAME: 0x08,
  BYTE_PREFIX: 0x0a,
  WORD_PREFIX: 0x0b,
  DWORD_PREFIX: 0x0c,
  STRING_PREFIX: 0x0d,
  QWORD_PREFIX: 0x0e,
  SCOPE: 0x10,
  BUFFER: 0x11,
  PACKAGE: 0x12,
  METHOD: 0x14,
  DUAL_NAME_PREFIX: 0x2e,
  MULTI_NAME_PREFIX: 0x2f,
  STORE: 0x70,
  NOTIFY: 0x86,
  IF: 0xa0,
  REGION: [0x5b, 0x80],
  FIELD: [0x5b, 0x81],
  DEVICE: [0x5b, 0x82],
} as const;

/** A method's flags (§20.2.5.2). */
const METHOD_ARGUMENTS_MAX = 7;
const METHOD_SERIALIZED = 1 << 3;

/** A region's space (§20.2.5.2), and a field's flags: byte access. */
const SYSTEM_MEMORY = 0, BYTE_ACCESS = 1;

const NAME_SEGMENT = 4;

/**
 * PkgLength (§20.2.4): how long a term is, from this length's own first byte
 * to the end of `content`. The two upper bits of the first byte say how many
 * bytes follow it.
 *
 * @throws {VireoError} when it takes more than 28 bits
 */
export function pkgLength(contentLength: number): Aml {
  if (contentLength + 1 < 1 << 6) return [contentLength + 1];
  for (let extra = 1; extra <= 3; extra++) {
    const length = contentLength + 1 + extra;
    if (length >= 1 << (4 + 8 * extra)) continue;
    const bytes = [extra << 6 | length & 0xf];
    for (let i = 0; i < extra; i++) bytes.push(length >> (4 + 8 * i) & 0xff);
    return bytes;
  }
  throw new VireoError(`AML: a term of ${contentLength} bytes is too long`);
}

/**
 * A path such as `_HID`, `\_SB` or `\_SB.PWRB` (§20.2.2). Segments of less
 * than four characters are filled up with `_`.
 *
 * @throws {VireoError} when it is none
 */
export function nameString(path: string): Aml {
  const [, prefix, rest] = /^(\\|\^*)(.*)$/s.exec(path)!;
  const segments = rest === "" ? [] : rest!.split(".");
  const valid = segments.every((name) => /^[A-Z_][A-Z0-9_]{0,3}$/.test(name));
  if (!valid || segments.length > 0xff || path === "") {
    throw new VireoError(`AML: "${path}" is not a path`);
  }
  return [
    ...ascii(prefix!),
    ...namePrefix(segments.length),
    ...segments
      .flatMap((name) => ascii(name.padEnd(NAME_SEGMENT, "_"))),
  ];
}

function namePrefix(segments: number): Aml {
  switch (segments) {
    case 0:
      return [Op.ZERO]; // NullName
    case 1:
      return [];
    case 2:
      return [Op.DUAL_NAME_PREFIX];
    default:
      return [Op.MULTI_NAME_PREFIX, segments];
  }
}

/**
 * An integer in as few bytes as it takes (§20.2.3).
 *
 * @throws {VireoError} when it is negative or no safe integer
 */
export function integer(value: number): Aml {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new VireoError(`AML: ${value} is not an integer of 0 to 2^53 - 1`);
  }
  if (value === 0) return [Op.ZERO];
  if (value === 1) return [Op.ONE];
  if (value <= 0xff) return [Op.BYTE_PREFIX, value];
  if (value <= 0xffff) return [Op.WORD_PREFIX, ...littleEndian(value, 2)];
  if (value <= 0xffff_ffff) {
    return [Op.DWORD_PREFIX, ...littleEndian(value, 4)];
  }
  return [Op.QWORD_PREFIX, ...littleEndian(value, 8)];
}

/**
 * A string (§20.2.3).
 *
 * @throws {VireoError} when it has other characters than ASCII's, or a zero
 */
export function string(text: string): Aml {
  return [Op.STRING_PREFIX, ...ascii(text), 0];
}

/**
 * An id such as `PNP0501`, packed into 32 bits (§19.3.4, `EISAID`): three
 * letters of 5 bits each, then four hexadecimal digits, most significant byte
 * first.
 *
 * @throws {VireoError} when it has another form; such ids are strings
 */
export function eisaId(id: string): Aml {
  if (!/^[A-Z]{3}[0-9A-F]{4}$/.test(id)) {
    throw new VireoError(`AML: "${id}" is not an EISA id like PNP0501`);
  }
  const [a, b, c] = ascii(id.slice(0, 3)).map((letter) => letter - 0x40);
  const letters = a! << 10 | b! << 5 | c!;
  const digits = parseInt(id.slice(3), 16);
  return [
    Op.DWORD_PREFIX,
    ...littleEndian(letters, 2).toReversed(),
    ...littleEndian(digits, 2).toReversed(),
  ];
}

/** `Buffer () {...}` (§20.2.5.4). */
export function buffer(bytes: Aml): Aml {
  return withLength([Op.BUFFER], [...integer(bytes.length), ...bytes]);
}

/**
 * `Package () {...}` (§20.2.5.4).
 *
 * @throws {VireoError} when it has more than 255 elements
 */
export function packageOf(...elements: Aml[]): Aml {
  if (elements.length > 0xff) {
    throw new VireoError(`AML: a package of ${elements.length} elements`);
  }
  return withLength([Op.PACKAGE], [elements.length, ...elements.flat()]);
}

/** `Name (path, value)` (§20.2.5.1). */
export function name(path: string, value: Aml): Aml {
  return [Op.NAME, ...nameString(path), ...value];
}

/** `Scope (path) {...}` (§20.2.5.1). */
export function scope(path: string, ...terms: Aml[]): Aml {
  return withLength([Op.SCOPE], [...nameString(path), ...terms.flat()]);
}

/** `Device (path) {...}` (§20.2.5.2). */
export function device(path: string, ...terms: Aml[]): Aml {
  return withLength(Op.DEVICE, [...nameString(path), ...terms.flat()]);
}

/**
 * `Method (path, argumentCount, Serialized) {...}` (§20.2.5.2): one thread at
 * a time.
 *
 * @throws {VireoError} when it takes more than seven arguments
 */
export function method(
  path: string,
  argumentCount: number,
  ...terms: Aml[]
): Aml {
  if (!(argumentCount >= 0 && argumentCount <= METHOD_ARGUMENTS_MAX)) {
    throw new VireoError(`AML: a method with ${argumentCount} arguments`);
  }
  const flags = argumentCount | METHOD_SERIALIZED;
  return withLength([Op.METHOD], [
    ...nameString(path),
    flags,
    ...terms.flat(),
  ]);
}

/** `Notify (path, value)` (§20.2.5.3). */
export function notify(path: string, value: number): Aml {
  return [Op.NOTIFY, ...nameString(path), ...integer(value)];
}

/**
 * `OperationRegion (region, SystemMemory, address, 1)`, and
 * `Field (region, ByteAcc, NoLock, Preserve) {path, 8}` (§20.2.5.2).
 */
export function memoryByte(region: string, address: number, path: string): Aml {
  const BITS = 8;
  return [
    ...[...Op.REGION, ...nameString(region), SYSTEM_MEMORY],
    ...[...integer(address), ...integer(1)],
    ...withLength(Op.FIELD, [
      ...[...nameString(region), BYTE_ACCESS],
      ...[...nameString(path), BITS],
    ]),
  ];
}

/** `If (path) {...}` (§20.2.5.3). */
export function ifNotZero(path: string, ...terms: Aml[]): Aml {
  return withLength([Op.IF], [...nameString(path), ...terms.flat()]);
}

/** `Store (Zero, path)` (§20.2.5.4). */
export function clear(path: string): Aml {
  return [Op.STORE, Op.ZERO, ...nameString(path)];
}

/** The `bytes` bytes of an unsigned number, the lowest first. */
export function littleEndian(value: number, bytes: number): Aml {
  // Not by shifts: those have 32 bits.
  return Array.from(
    { length: bytes },
    (_, index) => Math.floor(value / 256 ** index) % 256,
  );
}

function withLength(opcode: Aml, content: Aml): Aml {
  return [...opcode, ...pkgLength(content.length), ...content];
}

function ascii(text: string): number[] {
  return Array.from(text, (character) => {
    const code = character.codePointAt(0)!;
    if (code < 1 || code > 0x7f) {
      throw new VireoError(`AML: "${text}" is not ASCII`);
    }
    return code;
  });
}
