/**
 * The log: a line for each event, in the form that programs read. Without a
 * path it shares standard output with the guest's console.
 *
 * @module
 */

/** How much is told: each level, and those before it. */
export const LEVELS = [
  "Off",
  "Error",
  "Warn",
  "Info",
  "Debug",
  "Trace",
] as const;

/** One of them. */
export type Level = typeof LEVELS[number];

/** The level that a word in any case means; `warning` is `Warn`. */
export function levelMeant(word: string): string {
  const lower = word.toLowerCase();
  if (lower === "warning") return "Warn";
  return LEVELS.find((level) => level.toLowerCase() === lower) ?? word;
}

/** What of the log can be set. */
export interface LogSettings {
  /** The most that is told. */
  level?: Level | undefined;
  /** Lines have their level. */
  showLevel?: boolean | undefined;
  /** Lines have the place that they come from. */
  showOrigin?: boolean | undefined;
  /** Only of modules whose names begin so. */
  module?: string | undefined;
}

/** Where lines go. */
export type Sink = (line: string) => void;

/** Who speaks. */
export type Thread = "main" | "fc_api";

/** The module that all lines come from, as far as readers know. */
const MODULE = "firecracker";

/** The log of one process. */
export class Log {
  /** Lines that had no room. */
  missed = 0;
  readonly #id: string;
  #sink: Sink;
  #settings: LogSettings = {};

  /** Lines of the machine `id`, to `sink`. */
  constructor(id: string, sink: Sink) {
    this.#id = id;
    this.#sink = sink;
  }

  /** The same for another machine of this process. */
  of(id: string): Log {
    const log = new Log(id, (line) => this.#sink(line));
    log.#settings = this.#settings;
    return log;
  }

  /** From now on; what isn't given stays. */
  set(settings: LogSettings): void {
    for (const [key, value] of Object.entries(settings)) {
      if (value !== undefined) Object.assign(this.#settings, { [key]: value });
    }
  }

  /** From now on, lines go there. */
  to(sink: Sink): void {
    this.#sink = sink;
  }

  /** That something went as it should. */
  info(text: string, thread: Thread = "main"): void {
    this.#write("Info", text, thread);
  }

  /** That something is odd. */
  warn(text: string, thread: Thread = "main"): void {
    this.#write("Warn", text, thread);
  }

  /** That something failed. */
  error(text: string, thread: Thread = "main"): void {
    this.#write("Error", text, thread);
  }

  /** For who looks closely. */
  debug(text: string, thread: Thread = "main"): void {
    this.#write("Debug", text, thread);
  }

  #write(level: Level, text: string, thread: Thread): void {
    const { level: most = "Info", showLevel, showOrigin, module } =
      this.#settings;
    if (LEVELS.indexOf(level) > LEVELS.indexOf(most)) return;
    if (module !== undefined && !MODULE.startsWith(module)) return;
    const parts = [this.#id, thread];
    if (showLevel) parts.push(level.toUpperCase());
    if (showOrigin) parts.push("api/log.ts");
    const line = text.replaceAll("\n", "\\n");
    this.#sink(`${timestamp()} [${parts.join(":")}] ${line}\n`);
  }
}

/** Local time, to the nanosecond by its form. */
function timestamp(): string {
  const now = new Date();
  const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000);
  return `${local.toISOString().slice(0, -1)}000000`;
}
