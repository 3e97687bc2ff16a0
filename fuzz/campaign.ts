/**
 * A campaign on a command line: inputs from a seed on, as long as is asked for,
 * with a line on a terminal that says how many.
 *
 * @module
 */
import { Command, InvalidArgumentError } from "commander";

const SHOWN_MS = 100;

/** Asked before each input, with their number: whether it is to be tried. */
export type More = (count: number) => boolean;

/** One campaign. */
export class Campaign {
  /** What the first input is made of; the same gives the same. */
  readonly seed: number;
  /** Inputs that were tried. */
  count = 0;
  readonly #name: string;
  readonly #seconds: number;
  readonly #begun = performance.now();

  /**
   * As `args` say; a mistake in them, or `--help`, ends the process with a line.
   *
   * @param name of the task
   * @param description what it does, for `--help`
   */
  constructor(name: string, description: string, args = Deno.args) {
    const { seconds, seed } = new Command(name).description(description)
      .option("--seconds <n>", "how long it lasts", wholeNumber, 60)
      .option("--seed <n>", "the first input", wholeNumber, 1)
      .parse(args, { from: "user" })
      .opts<{ seconds: number; seed: number }>();
    this.#name = name;
    this.#seconds = seconds;
    this.seed = seed;
  }

  /** Seconds since it began. */
  get seconds(): number {
    return (performance.now() - this.#begun) / 1000;
  }

  /** While there is time. */
  readonly more: More = (count) => {
    this.count = count;
    showProgress(`${this.#name}: ${count} inputs`);
    return this.seconds < this.#seconds;
  };

  /** What to print at its end. */
  result(text: string): string {
    const { count, seed } = this;
    const seconds = this.seconds.toFixed(0);
    return `seed ${seed}: ${count} inputs in ${seconds} s, ${text}`;
  }
}

let shown = 0;
/** One line on a terminal, at most ten times a second; what is next covers it. */
export function showProgress(text: string): void {
  if (performance.now() - shown < SHOWN_MS || !Deno.stderr.isTerminal()) return;
  shown = performance.now();
  Deno.stderr.writeSync(new TextEncoder().encode(`${text} \r`));
}

/** An option's value. */
export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("not a number");
  return Number(text);
}
