/**
 * Rules for the values in a configuration file. `../keys.ts` makes its
 * table of them; documents and messages come from them too.
 *
 * @module
 */
import { pathToFileURL } from "node:url";
import { nearest } from "./nearest.ts";

/** Something wrong in a configuration. */
export interface Problem {
  /** Where: `drives[0].path_on_host`. */
  path: string;
  /** What: `no such file "x.img"`. */
  text: string;
}

/** What a value may be. */
export interface Rule<T> {
  /** The values that are taken, in words, for documents. */
  readonly takes: string;
  /** The keys, when the value is an object or a list of them. */
  readonly keys?: KeyTable;
  /** `value` as it goes into the configuration, or a problem more. */
  read(value: unknown, path: string, problems: Problem[]): T | undefined;
}

/** What becomes of a key: Firecracker's and honoured, its and not, or ours. */
export type KeyStatus = "honoured" | "not yet" | "Vireo's own";

/** One row of the table. */
export interface Key<T> {
  /** What its value may be. */
  readonly rule: Rule<T>;
  /** What it does, and its default. */
  readonly about: string;
  /** What becomes of it. */
  readonly status: KeyStatus;
  /** It must be there. */
  readonly required: boolean;
}

/** Keys by name. */
export type KeyTable = Readonly<Record<string, Key<unknown>>>;

/**
 * A row for each property of `T`, of its type: a property without a row, or a
 * row of another type, doesn't compile. More rows are keys that come to
 * nothing, as {@linkcode notYet} makes them.
 */
export type Keys<T> =
  & { readonly [K in keyof Required<T>]: Key<T[K]> }
  & KeyTable;

/** A key that must be there. */
export function required<T>(rule: Rule<T>, about: string): Key<T> {
  return { rule, about, status: "honoured", required: true };
}

/** A key that may be there. */
export function optional<T>(
  rule: Rule<T>,
  about: string,
): Key<T | undefined> {
  return { rule, about, status: "honoured", required: false };
}

/** An optional key that Firecracker doesn't have. */
export function own<T>(rule: Rule<T>, about: string): Key<T | undefined> {
  return { rule, about, status: "Vireo's own", required: false };
}

/**
 * A key of Firecracker's that isn't honoured yet: refused, unless it has one
 * of the values that ask for nothing.
 */
export function notYet(about: string, ...nothing: unknown[]): Key<undefined> {
  const rule: Rule<undefined> = {
    takes: nothing.map((value) => JSON.stringify(value)).join(" or ") || "null",
    read(value, path, problems) {
      const empty = Array.isArray(value) && value.length === 0;
      if (!empty && !nothing.includes(value)) {
        problems.push({ path, text: "not supported yet" });
      }
      return undefined;
    },
  };
  return { rule, about, status: "not yet", required: false };
}

/** A rule of one test. */
function scalar<T>(
  takes: string,
  test: (value: unknown) => value is T,
  refusal: (value: unknown) => string,
): Rule<T> {
  return {
    takes,
    read(value, path, problems) {
      if (test(value)) return value;
      problems.push({ path, text: refusal(value) });
    },
  };
}

/** What a message shows of a value. */
function show(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}..."` : text;
}

/** `true` or `false`. */
export const boolean: Rule<boolean> = scalar(
  "true, false",
  (value) => typeof value === "boolean",
  (value) => `${show(value)} is not true or false`,
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
        ? `${show(value)} is not a number`
        : Number.isInteger(value)
        ? `${value} is not ${limits}`
        : `${value} is not a whole number`,
  );
}

/** Text of one character and more. */
export const text: Rule<string> = scalar(
  "text",
  (value): value is string => typeof value === "string" && value !== "",
  (value) => value === "" ? "is empty" : `${show(value)} is not a string`,
);

/** Text, perhaps none. */
export const anyText: Rule<string> = scalar(
  "text",
  (value) => typeof value === "string",
  (value) => `${show(value)} is not a string`,
);

/** One of some words. Those of `later` are known, but not supported yet. */
export function oneOf<const T extends string>(
  words: readonly T[],
  later: readonly string[] = [],
): Rule<T> {
  return scalar(
    words.join(", "),
    (value): value is T => words.includes(value as T),
    (value) => {
      if (later.includes(value as string)) {
        return `${show(value)} is not supported yet`;
      }
      const hint = typeof value === "string"
        ? nearest(value, words)
        : undefined;
      return `${show(value)} is not ${words.map(show).join(" or ")}` +
        (hint ? `; did you mean "${hint}"?` : "");
    },
  );
}

/** Text that `parse` takes; what it throws is the problem. */
export function parsed(
  takes: string,
  parse: (text: string) => unknown,
): Rule<string> {
  return {
    takes,
    read(value, path, problems) {
      const word = text.read(value, path, problems);
      if (word === undefined) return undefined;
      try {
        parse(word);
        return word;
      } catch (error) {
        const { message } = error as Error;
        // The path says it better.
        problems.push({ path, text: message.replace(/^mac: /, "") });
      }
    },
  };
}

/** A file that is there: a path, relative to the working directory. */
export const file: Rule<string> = parsed("a path", mustExist);

/** A module: a URL, or a path, relative to the working directory. */
export const module: Rule<string> = {
  takes: "a path or URL",
  read(value, path, problems) {
    if (typeof value === "string" && URL.canParse(value)) return value;
    const name = file.read(value, path, problems);
    return name === undefined ? undefined : pathToFileURL(name).href;
  },
};

function mustExist(path: string): void {
  try {
    Deno.statSync(path);
  } catch (error) {
    // Others, such as "permission denied", are said by who opens it.
    if (!(error instanceof Deno.errors.NotFound)) return;
    throw new Error(`no such file ${JSON.stringify(path)}`);
  }
}

/** Anything. */
export const anything: Rule<unknown> = { takes: "any", read: (value) => value };

/** A list. */
export function list<T>(rule: Rule<T>): Rule<T[]> {
  return {
    takes: "a list",
    keys: rule.keys,
    read(value, path, problems) {
      if (!Array.isArray(value)) {
        problems.push({ path, text: `${show(value)} is not a list` });
        return undefined;
      }
      return value.map((item, index) =>
        rule.read(item, `${path}[${index}]`, problems) as T
      );
    },
  };
}

/** An object with these keys and no others. `null` is as good as no key. */
export function object<T extends object>(keys: Keys<T>): Rule<T> {
  return {
    takes: "an object",
    keys,
    read(value, path, problems) {
      if (typeof value !== "object" || value === null || Array.isArray(value)) {
        problems.push({ path, text: `${show(value)} is not an object` });
        return undefined;
      }
      const at = (name: string) => path === "" ? name : `${path}.${name}`;
      for (const name of Object.keys(value)) {
        if (!Object.hasOwn(keys, name)) {
          problems.push({ path: at(name), text: unknownKey(name, keys) });
        }
      }
      const result: Record<string, unknown> = {};
      for (const [name, key] of Object.entries<Key<unknown>>(keys)) {
        const given = (value as Record<string, unknown>)[name] ?? undefined;
        if (given !== undefined) {
          const read = key.rule.read(given, at(name), problems);
          if (read !== undefined) result[name] = read;
        } else if (key.required) {
          problems.push({ path: at(name), text: "is missing" });
        }
      }
      return result as T;
    },
  };
}

function unknownKey(name: string, keys: KeyTable): string {
  const names = Object.keys(keys);
  const hint = nearest(name, names);
  if (hint) return `unknown key; did you mean "${hint}"?`;
  return `unknown key; there is ${names.join(", ")}`;
}
