/**
 * What the body of a request has to look like: which keys of which types, as
 * Firecracker has them. Whether the values are right is for the rules of the
 * configuration to say.
 *
 * @module
 */
import { BodyError, EmptyUpdate, JsonReader } from "./reader.ts";

/** What a value has to be. */
export interface Shape<T> {
  /** Reads it. */
  read(json: JsonReader): T;
  /** It in OpenAPI's words. */
  readonly schema: Schema;
}

/** A part of an OpenAPI description. */
export type Schema = Readonly<Record<string, unknown>>;

/** A key of a struct. */
export interface Field<T> {
  readonly shape: Shape<T>;
  /** There has to be one. */
  readonly required: boolean;
  /** What it is without; undefined: it is left out. */
  readonly value?: T;
}

/** A key that must be there. */
export function must<T>(shape: Shape<T>): Field<T> {
  return { shape, required: true };
}

/** A key that may be there, or be null. */
export function may<T>(shape: Shape<T>): Field<T | undefined> {
  return { shape: orNull(shape), required: false };
}

/** A key that may be there, but not be null. */
export function or<T>(shape: Shape<T>, value: NoInfer<T>): Field<T> {
  return { shape, required: false, value };
}

/** What a struct of these fields reads. */
export type Read<F> = {
  [K in keyof F]: F[K] extends Field<infer T> ? T : never;
};

/**
 * Reads a body.
 *
 * @throws {BodyError} it has another shape
 */
export function readBody<T>(bytes: Uint8Array, shape: Shape<T>): T {
  const json = new JsonReader(bytes);
  const value = shape.read(json);
  json.end();
  return value;
}

/** A whole number from 0 to `max`, of a type that is called `name`. */
export function unsigned(name: string, max: number): Shape<number> {
  return {
    schema: { type: "integer", minimum: 0, maximum: max },
    read(json) {
      if (json.peek() !== "number") throw wrongType(json, name);
      const { value, text } = json.number();
      if (/[.eE]/.test(text) || value >= 2 ** 64 || value < -(2 ** 63)) {
        const number = `floating point \`${float(value)}\``;
        throw json.error(`invalid type: ${number}, expected ${name}`);
      }
      if (value >= 0 && value <= max) return value;
      throw json.error(
        `invalid value: integer \`${text}\`, expected ${name}`,
      );
    },
  };
}

/** 8 bits. */
export const u8: Shape<number> = unsigned("u8", 2 ** 8 - 1);
/** 16 bits. */
export const u16: Shape<number> = unsigned("u16", 2 ** 16 - 1);
/** 32 bits. */
export const u32: Shape<number> = unsigned("u32", 2 ** 32 - 1);
/** 64 bits; beyond 2^53 not to the last digit. */
export const u64: Shape<number> = unsigned("u64", 2 ** 64);
/** The same, of another name. */
export const usize: Shape<number> = unsigned("usize", 2 ** 64);

/** `true` or `false`. */
export const bool: Shape<boolean> = {
  schema: { type: "boolean" },
  read(json) {
    if (json.peek() !== "boolean") throw wrongType(json, "a boolean");
    return json.word() as boolean;
  },
};

/** Text. */
export const string: Shape<string> = {
  schema: { type: "string" },
  read(json) {
    if (json.peek() !== "string") throw wrongType(json, "a string");
    return json.string();
  },
};

/** Any JSON. */
export const any: Shape<unknown> = {
  schema: {},
  read: (json) => json.any(),
};

/** One of some words, or one that means one of them. */
export function variant<const T extends string>(
  words: readonly T[],
  meant: (word: string) => string = (word) => word,
): Shape<T> {
  return {
    schema: { type: "string", enum: words },
    read(json) {
      if (json.peek() !== "string") throw json.noValue();
      const text = json.string();
      const word = words.find((word) => word === meant(text));
      if (word !== undefined) return word;
      throw json.error(
        `unknown variant \`${text}\`, expected ${oneOf(words)}`,
      );
    },
  };
}

/** A list. */
export function list<T>(shape: Shape<T>): Shape<T[]> {
  return {
    schema: { type: "array", items: shape.schema },
    read(json) {
      if (json.peek() !== "list") throw wrongType(json, "a sequence");
      const values: T[] = [];
      for (const _ of json.items()) values.push(shape.read(json));
      return values;
    },
  };
}

/** What a struct may be besides. */
export interface StructOptions {
  /** Other keys are taken, and mean nothing. */
  open?: boolean;
}

/** An object with these keys, or a list of their values. */
export function struct<F extends Record<string, Field<unknown>>>(
  name: string,
  fields: F,
  { open = false }: StructOptions = {},
): Shape<Read<F>> {
  const names = Object.keys(fields);
  const required = names.filter((key) => fields[key]!.required);
  const properties = names.map((key) => {
    const { shape, value } = fields[key]!;
    const schema = value === undefined
      ? shape.schema
      : { ...shape.schema, default: value };
    return [key, schema];
  });
  return {
    schema: {
      type: "object",
      properties: Object.fromEntries(properties),
      ...(required.length > 0 && { required }),
      ...(!open && { additionalProperties: false }),
    },
    read(json) {
      const kind = json.peek();
      const values = kind === "object"
        ? byName(json, fields, open)
        : kind === "list"
        ? byPlace(json, name, fields)
        : undefined;
      if (values === undefined) throw wrongType(json, `struct ${name}`);
      return values as Read<F>;
    },
  };
}

/** A struct of which at least one key has to be there. */
export function changing<T extends object>(shape: Shape<T>): Shape<T> {
  return {
    schema: { ...shape.schema, minProperties: 1 },
    read(json) {
      const body = shape.read(json);
      if (Object.values(body).some((value) => value !== undefined)) return body;
      throw new EmptyUpdate();
    },
  };
}

type Fields = Readonly<Record<string, Field<unknown>>>;

function byName(json: JsonReader, fields: Fields, open: boolean): unknown {
  const values: Record<string, unknown> = {};
  const seen = new Set<string>();
  for (const key of json.keys()) {
    const field = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (field === undefined) {
      if (!open) throw json.error(unknownField(key, Object.keys(fields)));
      json.colon();
      json.any();
      continue;
    }
    if (seen.has(key)) throw json.error(`duplicate field \`${key}\``);
    seen.add(key);
    json.colon();
    values[key] = field.shape.read(json);
  }
  for (const [key, field] of Object.entries(fields)) {
    if (seen.has(key)) continue;
    if (field.required) throw json.error(`missing field \`${key}\``);
    values[key] = field.value;
  }
  return values;
}

function byPlace(json: JsonReader, name: string, fields: Fields): unknown {
  const values: Record<string, unknown> = {};
  const entries = Object.entries(fields);
  let count = 0;
  for (const index of json.items()) {
    const entry = entries[index];
    if (entry === undefined) throw json.errorAhead("trailing characters");
    values[entry[0]] = entry[1].shape.read(json);
    count++;
  }
  for (const [key, field] of entries.slice(count)) {
    if (field.required || field.value === undefined) {
      const whole = `struct ${name} with ${elements(entries.length)}`;
      throw json.error(`invalid length ${count}, expected ${whole}`);
    }
    values[key] = field.value;
  }
  return values;
}

function elements(count: number): string {
  return count === 1 ? "1 element" : `${count} elements`;
}

function orNull<T>(shape: Shape<T>): Shape<T | undefined> {
  return {
    schema: { ...shape.schema, nullable: true },
    read(json) {
      if (json.peek() !== "null") return shape.read(json);
      json.word();
      return undefined;
    },
  };
}

function unknownField(key: string, known: readonly string[]): string {
  const expected = known.length === 0
    ? "there are no fields"
    : `expected ${oneOf(known)}`;
  return `unknown field \`${key}\`, ${expected}`;
}

function oneOf(words: readonly string[]): string {
  const quoted = words.map((word) => `\`${word}\``);
  if (quoted.length > 2) return `one of ${quoted.join(", ")}`;
  return quoted.join(" or ");
}

/** The next value is of another type than `expected`. */
function wrongType(json: JsonReader, expected: string): BodyError {
  const found = foundType(json);
  if (found instanceof BodyError) return found;
  return json.error(`invalid type: ${found}, expected ${expected}`);
}

function foundType(json: JsonReader): string | BodyError {
  switch (json.peek()) {
    case "null":
      json.word();
      return "null";
    case "boolean":
      return `boolean \`${json.word()}\``;
    case "number": {
      const { value, text } = json.number();
      if (!/[.eE]/.test(text)) return `integer \`${text}\``;
      return `floating point \`${float(value)}\``;
    }
    case "string":
      return `string ${JSON.stringify(json.string())}`;
    case "list":
      return "sequence";
    case "object":
      return "map";
    default:
      return json.noValue();
  }
}

/** As Rust writes it. */
function float(value: number): string {
  const text = String(value).replace("e+", "e");
  return /[.e]/.test(text) ? text : `${text}.0`;
}
