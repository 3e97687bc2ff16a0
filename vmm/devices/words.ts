/**
 * Words that several options have.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { fileUrl } from "../config/schema/file_url.ts";
import { nearest } from "../config/schema/nearest.ts";

/**
 * A whole number.
 *
 * @throws {VireoError} when it is none
 */
export function parseCount(option: string, text: string): number {
  if (!/^\d+$/.test(text)) {
    throw new VireoError(`${option} ${text}: not a whole number`);
  }
  return Number(text);
}

/**
 * The words of an option, which commas part. A comma in one is written twice:
 * `a,,b.raw,ro` is `a,b.raw` and `ro`.
 */
export function splitWords(text: string): string[] {
  return text.replaceAll(",,", "\0").split(",")
    .map((word) => word.replaceAll("\0", ","));
}

/**
 * One of a few words.
 *
 * @throws {VireoError} when it is none of them; it names the nearest
 */
export function parseChoice<T extends string>(
  option: string,
  text: string,
  choices: readonly T[],
): T {
  const choice = choices.find((word) => word === text);
  if (choice !== undefined) return choice;
  throw new VireoError(
    `${option} ${text}: not one of ${choices.join(", ")}` +
      didYouMean(text, choices),
  );
}

/**
 * The end of a message: the word that was likely meant, or nothing. Of words
 * with a value, such as `queues=N`, what is before it counts.
 */
export function didYouMean(typed: string, words: readonly string[]): string {
  const key = (word: string) => word.replace(/=.*/s, "");
  const meant = nearest(key(typed), words.map(key));
  const word = words.find((word) => key(word) === meant);
  return word === undefined ? "" : `; did you mean "${word}"?`;
}

/** Devices of modules, with names that tell them apart. */
export function named<T extends { module: string; name?: string }>(
  devices: readonly T[],
): (T & { name: string })[] {
  const taken = new Set(devices.map(({ name }) => name));
  return devices.map((device) => {
    const { name, module } = device;
    let own = name ?? module;
    for (let n = 2; name === undefined && taken.has(own); n++) {
      own = `${module}#${n}`;
    }
    taken.add(own);
    return { ...device, name: own };
  });
}

/**
 * The URL of a module from its URL or path.
 *
 * @throws {VireoError} when there is no such file
 */
export function moduleUrl(option: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : fileUrl(text);
  if (url.protocol === "file:" && !isFile(url)) {
    throw new VireoError(`${option} ${text}: no such file`);
  }
  return url.href;
}

/** A value after `KEY=`: a number, true or false is one, all else is text. */
export type WordValue = string | number | boolean;

/**
 * A module and its options from `FILE[,KEY=VALUE]`; `KEY` alone is true.
 *
 * @throws {VireoError} there is no such file, or a word has no key, or one of
 *   another
 */
export function moduleWords(
  option: string,
  text: string,
): { module: string; options: Record<string, WordValue> } {
  // A URL may have commas of its own; a path has them twice.
  const [file = "", ...words] = /^data:/.test(text) ? [text] : splitWords(text);
  if (file === "") throw new VireoError(`${option} ${text}: no file is named`);
  const options: Record<string, WordValue> = {};
  for (const word of words) {
    const [, key, value] = /^([^=]+)(?:=(.*))?$/s.exec(word) ?? [];
    if (key === undefined || Object.hasOwn(options, key)) {
      const wrong = key === undefined ? "no KEY=VALUE" : "there already";
      throw new VireoError(`${option} ${text}: "${word}" is ${wrong}`);
    }
    options[key] = value === undefined ? true : wordValue(value);
  }
  return { module: moduleUrl(option, file), options };
}

function wordValue(text: string): WordValue {
  if (text === "true" || text === "false") return text === "true";
  const isNumber = /^-?(0x[\da-f]+|\d+(\.\d+)?)$/i.test(text);
  return isNumber && Number.isFinite(Number(text)) ? Number(text) : text;
}

function isFile(url: URL): boolean {
  try {
    return Deno.statSync(url).isFile;
  } catch {
    return false;
  }
}
