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

function isFile(url: URL): boolean {
  try {
    return Deno.statSync(url).isFile;
  } catch {
    return false;
  }
}
