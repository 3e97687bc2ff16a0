/**
 * Modules of the user's own: whatever is wrong with one names it.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";

/**
 * Its default export.
 *
 * @param what names the module's purpose in errors: `device`, ...
 * @throws {VireoError} it can't be loaded
 */
export async function loadModule(what: string, url: string): Promise<unknown> {
  try {
    return (await import(url)).default;
  } catch (error) {
    throw new VireoError(`${what} ${url}: ${failureOf(error, url)}`);
  }
}

/** An exception of a module's code in a line: what it says, and where. */
export function failureOf(error: unknown, url: string): string {
  if (!(error instanceof Error)) return String(error);
  const [text = ""] = error.message.split("\n");
  const frame = error.stack?.split("\n").find((line) =>
    line.includes(url) && line.trimStart().startsWith("at ")
  );
  const place = frame === undefined || url.startsWith("data:")
    ? ""
    : ` (${frame.trim()})`;
  return `${error.name}: ${text}${place}`;
}
