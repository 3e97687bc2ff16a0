/**
 * How far a long piece of work is, and how long it will still take.
 *
 * @module
 */
import type { ProgressOutput } from "./prepare.ts";

/** Plain output, as in a log file, gets a line this often. */
const PLAIN_INTERVAL_MS = 10_000;
/** A terminal's line changes at most this often. */
const TERMINAL_INTERVAL_MS = 100;
/** Before this much is done there is nothing to estimate from. */
const ENOUGH_TO_ESTIMATE = 0.03;

/** A step of the work and its share of the whole. */
export interface Step {
  /** What is being done: `compiling`. */
  label: string;
  /** Its share: any number, the sum is the whole. */
  weight: number;
}

/** Standard error as a {@linkcode ProgressOutput}. */
export const standardError: ProgressOutput = {
  write(text: string): void {
    Deno.stderr.writeSync(new TextEncoder().encode(text));
  },
  columns(): number | undefined {
    return Deno.stderr.isTerminal() ? Deno.consoleSize().columns : undefined;
  },
};

/**
 * Milliseconds until the end, if the rest goes like the part that is done;
 * undefined when it is too early to say.
 *
 * @param elapsedMs time taken so far
 * @param fraction part that is done, 0 to 1
 */
export function timeLeft(
  elapsedMs: number,
  fraction: number,
): number | undefined {
  if (fraction < ENOUGH_TO_ESTIMATE) return undefined;
  return elapsedMs * (1 - Math.min(fraction, 1)) / fraction;
}

/**
 * A duration for people: `4 min 10 s`, `12 s`.
 *
 * @param ms milliseconds
 */
export function formatDuration(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  // Nobody needs the second when there are minutes.
  const tens = seconds - seconds % 10;
  return seconds < 100
    ? `${seconds} s`
    : `${Math.floor(tens / 60)} min ${tens % 60} s`;
}

/**
 * One line: `compiling  [######........]  43%, 2 min 50 s left`.
 *
 * @param label what is being done
 * @param fraction part that is done, 0 to 1
 * @param leftMs from {@linkcode timeLeft}
 * @param columns the terminal's width; undefined for a line without a bar
 */
export function progressLine(
  label: string,
  fraction: number,
  leftMs: number | undefined,
  columns: number | undefined,
): string {
  const percent = `${Math.floor(fraction * 100)}%`;
  const left = leftMs === undefined ? "" : `, ${formatDuration(leftMs)} left`;
  if (columns === undefined) return `${label}: ${percent}${left}`;
  // The last column stays free: terminals differ in what they do there.
  const room = columns - 1 - 20 - " [] ".length - " 100%, 99 min 50 s left"
    .length;
  const width = Math.max(0, Math.min(40, room));
  const filled = Math.round(width * fraction);
  const bar = "#".repeat(filled) + ".".repeat(width - filled);
  return `${label.padEnd(20)} [${bar}] ${percent.padStart(4)}${left}`
    .slice(0, columns - 1);
}

/** Shows the progress of steps that follow each other. */
export class Progress {
  readonly #steps: readonly Step[];
  readonly #total: number;
  readonly #output: ProgressOutput;
  readonly #now: () => number;
  readonly #onShow: (line: string) => void;
  readonly #start: number;
  #current = 0;
  #part = 0;
  #shown = -Infinity;

  /**
   * The clock starts now.
   *
   * @param steps all of the work, in order
   * @param output where it is shown
   * @param now a clock in milliseconds
   * @param onShow told each line that is shown, as in plain output
   */
  constructor(
    steps: readonly Step[],
    output: ProgressOutput = standardError,
    now: () => number = () => performance.now(),
    onShow: (line: string) => void = () => {},
  ) {
    this.#steps = steps;
    this.#total = steps.reduce((sum, step) => sum + step.weight, 0);
    this.#output = output;
    this.#now = now;
    this.#onShow = onShow;
    this.#start = now();
  }

  /** The part of the whole that is done, 0 to 1. */
  get fraction(): number {
    const before = this.#steps.slice(0, this.#current)
      .reduce((sum, step) => sum + step.weight, 0);
    const current = this.#steps[this.#current]?.weight ?? 0;
    return (before + current * this.#part) / this.#total;
  }

  /**
   * A step begins; those before it are done.
   *
   * @param label the step's label
   */
  begin(label: string): void {
    this.#current = this.#steps.findIndex((step) => step.label === label);
    this.#part = 0;
    this.#show(true);
  }

  /**
   * The current step goes on.
   *
   * @param part the part of it that is done, 0 to 1
   */
  update(part: number): void {
    this.#part = Math.min(part, 1);
    this.#show(false);
  }

  /** All is done: leaves the terminal at a new line. */
  end(): void {
    if (this.#output.columns() !== undefined) this.#output.write("\r\x1b[K");
  }

  #show(always: boolean): void {
    const columns = this.#output.columns();
    const now = this.#now();
    const interval = columns === undefined
      ? PLAIN_INTERVAL_MS
      : TERMINAL_INTERVAL_MS;
    if (!always && now - this.#shown < interval) return;
    this.#shown = now;
    const label = this.#steps[this.#current]?.label ?? "";
    const left = timeLeft(now - this.#start, this.fraction);
    this.#onShow(progressLine(label, this.fraction, left, undefined));
    const line = progressLine(label, this.fraction, left, columns);
    this.#output.write(
      columns === undefined ? `${line}\n` : `\r${line}\x1b[K`,
    );
  }
}
