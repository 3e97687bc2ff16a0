/**
 * Rules for the values of a configuration, from a file or from a program.
 * `../keys.ts` makes its table of them; documents, messages and defaults come
 * from them too. They find what is wrong; `report.ts` has the words for it.
 *
 * @module
 */
import { fileUrl } from "./file_url.ts";

/** Something wrong in a configuration, as data. */
export interface Finding {
  /** Where: `drives[0].path_on_host`; empty: the whole. */
  path: string;
  /** What is wrong there. */
  code: FindingCode;
  /** What is taken there, in words, or the words to choose from. */
  expected?: string | readonly string[];
  /** What stands there. */
  value?: unknown;
  /** The other place that it is at odds with: `drives[0]`. */
  at?: string;
}

/**
 * What may be wrong. A `conflict` is between values that are right alone, and
 * is told by what is expected of them. A `no-file` may be told by who opens
 * the file, too: the value is as it should be.
 */
export type FindingCode =
  | "missing"
  | "empty"
  | "unknown key"
  | "not supported"
  | "type"
  | "range"
  | "choice"
  | "format"
  | "no-file"
  | "taken"
  | "conflict";

/**
 * What a value names: something of the host, which is opened, joined, made or
 * started; or code, which is run.
 */
export type Named = "host" | "code";

/** What a value may be: `T` as it is given, `R` with its defaults filled in. */
export interface Rule<T, R = T> {
  /** The values that are taken, in words, for documents. */
  readonly takes: string;
  /** The keys, when the value is an object or a list of them. */
  readonly keys?: KeyTable;
  /** What the value names, if anything. */
  readonly names?: Named;
  /** `value` as it goes into the configuration, or a finding more. */
  read(value: unknown, path: string, findings: Finding[]): T | undefined;
  /** What was read, with defaults in the place of what is missing. */
  fill(value: T): R;
}

/** What becomes of a key: Firecracker's and honoured, its and not, or ours. */
export type KeyStatus = "honoured" | "not yet" | "Vireo's own";

/** One row of the table. */
export interface Key<T> {
  /** What its value may be. */
  readonly rule: Rule<T>;
  /** What it does. */
  readonly about: string;
  /** What becomes of it. */
  readonly status: KeyStatus;
  /** It must be there. */
  readonly required: boolean;
  /** What it is when it is not there; without, that is its meaning. */
  readonly default?: Default<T>;
}

/** The value of a key that is not there. */
export interface Default<T> {
  /** The value. */
  readonly value: Exclude<T, undefined>;
  /** What else a document says of it. */
  readonly note: string;
}

/** A row with a default. */
export type FilledKey<T> = Key<T> & { readonly default: Default<T> };

/** Keys by name. */
export type KeyTable = Readonly<Record<string, Key<unknown>>>;

/**
 * A row for each property of `T`, of its type, with a default for those of
 * `F`: a property without a row, or a row of another type, doesn't compile.
 * More rows are keys that come to nothing, as {@linkcode notYet} makes them.
 */
export type Keys<T, F extends keyof T = never> =
  & {
    readonly [K in keyof Required<T>]: K extends F ? FilledKey<T[K]>
      : Key<T[K]>;
  }
  & KeyTable;

/** `T` with the properties of `F` filled in. */
export type Filled<T, F extends keyof T> =
  & Omit<T, F>
  & { [K in F]-?: Exclude<T[K], undefined> };

/** A key that must be there. */
export function required<T>(rule: Rule<T, unknown>, about: string): Key<T> {
  return { rule: rule as Rule<T>, about, status: "honoured", required: true };
}

/** A key that may be there. */
export function optional<T>(
  rule: Rule<T, unknown>,
  about: string,
): Key<T | undefined>;
/** A key with a default, and what else a document says of that. */
export function optional<T>(
  rule: Rule<T, unknown>,
  about: string,
  value: NoInfer<T>,
  note?: string,
): FilledKey<T | undefined>;
export function optional<T>(
  rule: Rule<T, unknown>,
  about: string,
  value?: T,
  note = "",
): Key<T | undefined> {
  const key = { rule, about, status: "honoured", required: false };
  const filled = value === undefined ? {} : { default: { value, note } };
  return { ...key, ...filled } as Key<T | undefined>;
}

/** An optional key that Firecracker doesn't have. */
export function own<T>(
  rule: Rule<T, unknown>,
  about: string,
): Key<T | undefined>;
/** The same with a default. */
export function own<T>(
  rule: Rule<T, unknown>,
  about: string,
  value: NoInfer<T>,
  note?: string,
): FilledKey<T | undefined>;
export function own<T>(
  rule: Rule<T, unknown>,
  about: string,
  value?: T,
  note?: string,
): Key<T | undefined> {
  const key = optional(rule, about, value as NoInfer<T>, note);
  return { ...key, status: "Vireo's own" };
}

/** A key that must be there, and that Firecracker doesn't have. */
export function ownRequired<T>(rule: Rule<T, unknown>, about: string): Key<T> {
  return { ...required(rule, about), status: "Vireo's own" };
}

/**
 * A key of Firecracker's that isn't honoured yet: refused, unless it has one
 * of the values that ask for nothing.
 */
export function notYet(about: string, ...nothing: unknown[]): Key<undefined> {
  const rule: Rule<undefined> = {
    takes: nothing.map((value) => JSON.stringify(value)).join(" or ") || "null",
    read(value, path, findings) {
      const empty = Array.isArray(value) && value.length === 0;
      if (!empty && !nothing.includes(value)) {
        findings.push({ path, code: "not supported", value });
      }
      return undefined;
    },
    fill: (value) => value,
  };
  return { rule, about, status: "not yet", required: false };
}

/** A rule of one test; `refusal` says what is wrong when it fails. */
function scalar<T>(
  takes: string,
  test: (value: unknown) => value is T,
  refusal: (value: unknown) => Omit<Finding, "path" | "value">,
): Rule<T> {
  return {
    takes,
    read(value, path, findings) {
      if (test(value)) return value;
      findings.push({ path, ...refusal(value), value });
    },
    fill: (value) => value,
  };
}

/** `true` or `false`. */
export const boolean: Rule<boolean> = scalar(
  "true, false",
  (value) => typeof value === "boolean",
  () => ({ code: "type", expected: "true or false" }),
);

/** A whole number within limits, both included. */
export function integer(low: number, high: number): Rule<number> {
  const limits = high === Number.MAX_SAFE_INTEGER
    ? `${low} or more`
    : `${low} to ${high}`;
  return scalar(
    limits,
    (value): value is number =>
      Number.isInteger(value) && value as number >= low &&
      value as number <= high,
    (value) =>
      typeof value !== "number"
        ? { code: "type", expected: "a number" }
        : Number.isInteger(value)
        ? { code: "range", expected: limits }
        : { code: "type", expected: "a whole number" },
  );
}

/** Text of one character and more. */
export const text: Rule<string> = scalar(
  "text",
  (value): value is string => typeof value === "string" && value !== "",
  (value) =>
    value === "" ? { code: "empty" } : { code: "type", expected: "a string" },
);

/** Text, perhaps none. */
export const anyText: Rule<string> = scalar(
  "text",
  (value) => typeof value === "string",
  () => ({ code: "type", expected: "a string" }),
);

/** One of some words. */
export function oneOf<const T extends string>(words: readonly T[]): Rule<T> {
  return scalar(
    words.join(", "),
    (value): value is T => words.includes(value as T),
    () => ({ code: "choice", expected: words }),
  );
}

/** Text of a form that `fits`; `expected` names it in messages. */
export function formatted(
  takes: string,
  expected: string,
  fits: (text: string) => boolean,
): Rule<string> {
  return {
    ...text,
    takes,
    read(value, path, findings) {
      const word = text.read(value, path, findings);
      if (word === undefined || fits(word)) return word;
      findings.push({ path, code: "format", expected, value });
    },
  };
}

/** A file that is there: a path, relative to the working directory. */
export const file: Rule<string> = {
  ...text,
  names: "host",
  takes: "a path",
  read(value, path, findings) {
    const name = text.read(value, path, findings);
    if (name !== undefined && !isThere(name)) {
      findings.push({ path, code: "no-file", value });
    }
    return name;
  },
};

/** A file that is there, or what would be in it. */
export const fileOrBytes: Rule<string | Uint8Array> = {
  names: "host",
  takes: file.takes,
  read(value, path, findings) {
    if (value instanceof Uint8Array) return value;
    return file.read(value, path, findings);
  },
  fill: (value) => value,
};

/** A module: a URL, or a path, relative to the working directory. */
export const module: Rule<string> = {
  ...text,
  names: "code",
  takes: "a path or URL",
  read(value, path, findings) {
    if (typeof value === "string" && URL.canParse(value)) return value;
    const name = file.read(value, path, findings);
    return name === undefined ? undefined : fileUrl(name).href;
  },
};

/** Values of `rule` that name something of the host. */
export function onHost<T>(rule: Rule<T>): Rule<T> {
  return { ...rule, names: "host" };
}

function isThere(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    // Others, such as "permission denied", are said by who opens it.
    return !(error instanceof Deno.errors.NotFound);
  }
}

/** Anything. */
export const anything: Rule<unknown> = {
  takes: "any",
  read: (value) => value,
  fill: (value) => value,
};

/** A list. */
export function list<T, R>(rule: Rule<T, R>): Rule<T[], R[]> {
  return {
    takes: "a list",
    keys: rule.keys,
    read(value, path, findings) {
      if (!Array.isArray(value)) {
        findings.push({ path, code: "type", expected: "a list", value });
        return undefined;
      }
      return value.map((item, index) =>
        rule.read(item, `${path}[${index}]`, findings) as T
      );
    },
    fill: (values) => values.map((value) => rule.fill(value)),
  };
}

/** An object with these keys and no others. `null` is as good as no key. */
export function object<T extends object, F extends keyof T = never>(
  keys: Keys<T, F>,
): Rule<T, Filled<T, F>> {
  return {
    takes: "an object",
    keys,
    read(value, path, findings) {
      if (typeof value !== "object" || value === null || Array.isArray(value)) {
        findings.push({ path, code: "type", expected: "an object", value });
        return undefined;
      }
      const at = (name: string) => path === "" ? name : `${path}.${name}`;
      for (const name of Object.keys(value)) {
        if (Object.hasOwn(keys, name)) continue;
        const expected = Object.keys(keys);
        findings.push({
          path: at(name),
          code: "unknown key",
          expected,
          value: name,
        });
      }
      const result: Record<string, unknown> = {};
      for (const [name, key] of Object.entries<Key<unknown>>(keys)) {
        const given = (value as Record<string, unknown>)[name] ?? undefined;
        if (given !== undefined) {
          const read = key.rule.read(given, at(name), findings);
          if (read !== undefined) result[name] = read;
        } else if (key.required) {
          findings.push({ path: at(name), code: "missing" });
        }
      }
      return result as T;
    },
    fill(value) {
      const result: Record<string, unknown> = {};
      for (const [name, key] of Object.entries<Key<unknown>>(keys)) {
        const given = (value as Record<string, unknown>)[name];
        if (given !== undefined) result[name] = key.rule.fill(given);
        else if (key.default) result[name] = key.default.value;
      }
      return result as Filled<T, F>;
    },
  };
}
