/**
 * `vireo switch`: a switch for machines of several processes.
 *
 * @module
 */
import { VireoError } from "../ffi/error.ts";
import { type LinkOptions, Switch } from "../network/switch.ts";
import { didYouMean, splitWords } from "../vmm/devices/words.ts";
import { standardError, standardOutput } from "./streams/output.ts";
import { ended, endInOrder } from "./streams/signals.ts";

const WORDS = [
  ...["latency=MS", "jitter=MS", "loss=FRACTION", "rate=BITS", "seed=N"],
  "pcap=FILE",
];
const UNITS: Record<string, number> = { "": 1, k: 1e3, M: 1e6, G: 1e9 };

/**
 * Switches until a signal comes.
 *
 * @param links as {@linkcode parseLink} takes them
 * @throws {VireoError} one of them can't be had
 */
export async function switchCommand(links: readonly string[]): Promise<void> {
  const parsed = links.map(parseLink);
  await using network = new Switch((line) =>
    standardError.print(`vireo: ${line}`)
  );
  const open = parsed.map(({ path, options }) => network.listen(path, options));
  endInOrder();
  for (const { path } of open) {
    standardOutput.print(`--net switch=${path.replaceAll(",", ",,")}`);
  }
  await new Promise((done) => ended.addEventListener("abort", done));
  for (const { path, counts } of open) {
    const { received, sent, lost, dropped } = counts;
    standardOutput.print(
      `${path}: frames received ${received}, sent ${sent}, lost ${lost}, ` +
        `dropped ${dropped}`,
    );
  }
}

/**
 * A socket and its link from `SOCKET[,KEY=VALUE...]`.
 *
 * @throws {VireoError} a key is unknown, or a value is no number
 */
export function parseLink(
  text: string,
): { path: string; options: LinkOptions } {
  const [path = "", ...words] = splitWords(text);
  if (path === "") throw new VireoError(`switch ${text}: no socket is named`);
  const options: LinkOptions = {};
  for (const word of words) {
    const [key = "", value] = word.split(/=(.*)/s);
    if (!WORDS.some((known) => known.startsWith(`${key}=`)) || !value) {
      throw new VireoError(
        `switch ${text}: "${word}" is not one of ${WORDS.join(", ")}` +
          didYouMean(word, WORDS),
      );
    }
    if (key === "pcap") options.pcap = value;
    else options[key as "loss"] = numberOf(`switch ${text}: ${key}`, value);
  }
  return { path, options };
}

function numberOf(what: string, text: string): number {
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?)([kMG]?)$/.exec(text) ?? [];
  if (digits !== undefined) return Number(digits) * UNITS[unit]!;
  throw new VireoError(
    `${what}: "${text}" is not a number, such as 0.5 or 10M`,
  );
}
