/**
 * `vireo top`: what machines do, on one screen.
 *
 * @module
 */
import { VireoError } from "../../ffi/error.ts";
import { type MachineRates, ratesBetween } from "../../monitor/top/rates.ts";
import {
  ask,
  type FoundMachine,
  machines,
} from "../../vmm/controller/client.ts";
import type { MachineDescription } from "../../vmm/controller/controller.ts";
import type { MachineMetrics } from "../../vmm/trace/metrics.ts";
import { didYouMean } from "../../vmm/devices/words.ts";
import { ended, endInOrder } from "../streams/signals.ts";
import { standardOutput } from "../streams/output.ts";
import { durationText, plain, table } from "../text.ts";

/** Milliseconds between two looks, unless told. */
const INTERVAL = 1000;
/** How long a machine has to answer. */
const ANSWER_TIME = 2000;

// Terminals (ECMA-48): another screen, its top, the end of a line and below.
const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?25h\x1b[?1049l";
const HOME = "\x1b[H";
const CLEAR_LINE = "\x1b[K";
const CLEAR_BELOW = "\x1b[J";

/** A look at a machine. */
export interface Look {
  /** The machine. */
  id: string;
  /** When, in milliseconds. */
  at: number;
  /** What it says of itself; undefined: nothing. */
  description?: MachineDescription | undefined;
  /** What it has done; undefined: it does not say. */
  metrics?: MachineMetrics | undefined;
}

/** The words of the command line. */
export interface TopOptions {
  /** One look, as lines. */
  once?: boolean;
  /** Seconds between two looks: `1`. */
  interval?: string;
}

/**
 * Shows what machines do until Ctrl-C; once, where there is no terminal.
 *
 * @param names of machines, or their processes; none: all of this user's
 * @throws {VireoError} there is no such machine
 */
export async function top(
  names: readonly string[],
  { once, interval }: TopOptions,
): Promise<void> {
  const time = parseInterval(interval);
  let before = await looks(names);
  if (names.length === 0 && before.length === 0) {
    throw new VireoError('top: no machine runs; "vireo ps" lists them');
  }
  const screen = !once && Deno.stdout.isTerminal();
  if (screen) {
    endInOrder();
    standardOutput.write(new TextEncoder().encode(ENTER));
  }
  try {
    do {
      await pause(time);
      if (ended.aborted) return;
      const after = await looks(names, screen);
      if (!screen) {
        return standardOutput.print(screenOf(before, after).join("\n"));
      }
      draw(screenOf(before, after));
      before = after;
    } while (!ended.aborted && before.length > 0);
  } finally {
    if (screen) standardOutput.write(new TextEncoder().encode(LEAVE));
  }
}

/** Seconds as milliseconds. */
function parseInterval(text: string | undefined): number {
  if (text === undefined) return INTERVAL;
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
  if (seconds >= 0.1 && seconds <= 3600) return seconds * 1000;
  throw new VireoError(`--interval ${text}: not 0.1 to 3600 seconds`);
}

async function pause(time: number): Promise<void> {
  const over = Promise.withResolvers<void>();
  const timer = setTimeout(over.resolve, time);
  ended.addEventListener("abort", () => over.resolve(), { once: true });
  await over.promise;
  clearTimeout(timer);
}

/** Looks at all machines at once; `lenient`: those that have gone are left out. */
async function looks(
  names: readonly string[],
  lenient = false,
): Promise<Look[]> {
  const all = await machines();
  const known = all.flatMap(({ id, description }) => [
    id,
    ...(description?.name ? [description.name] : []),
  ]);
  for (const name of lenient ? [] : names) {
    if (known.includes(name)) continue;
    throw new VireoError(
      `${name}: no such machine; "vireo ps" lists them` +
        didYouMean(name, known),
    );
  }
  const wanted = all.filter(({ id, description }) =>
    names.length === 0 || names.includes(id) ||
    names.includes(description?.name ?? "")
  );
  return await Promise.all(wanted.map(look));
}

async function look({ id, path, description }: FoundMachine): Promise<Look> {
  let metrics: MachineMetrics | undefined;
  try {
    if (description) {
      metrics = await ask(path, "metrics", {}, ANSWER_TIME) as MachineMetrics;
    }
  } catch (error) {
    if (!(error instanceof VireoError)) throw error;
  }
  return { id, at: performance.now(), description, metrics };
}

/** The lines of a screen: a table of the machines, and one of their devices. */
export function screenOf(
  before: readonly Look[],
  after: readonly Look[],
): string[] {
  const rows = after.map((look) => ({ look, rates: ratesOf(before, look) }));
  const head = ["MACHINE", "STATE", "UPTIME", "EXITS/s", "OF WHICH"];
  const machineRows = rows.map(({ look, rates }) => [
    nameOf(look),
    look.description?.state ?? "no answer",
    look.description ? durationText(look.description.uptime) : "-",
    rates ? rate(rates.exits) : "-",
    rates ? reasons(rates) : "",
  ]);
  const deviceHead = [
    ...["DEVICE", "KIND", "OPS/s", "READ/s", "WRITE/s", "P99", "DEPTH"],
    ...["BELLS/s", "IRQS/s", "ERRORS/s"],
  ];
  const deviceRows = rows.flatMap(({ look, rates }) =>
    (rates?.devices ?? []).map((device) => [
      after.length > 1 ? `${nameOf(look)} ${device.name}` : device.name,
      ...[device.kind, rate(device.operations)],
      ...[bytes(device.read), bytes(device.written)],
      device.latency === undefined ? "-" : latency(device.latency),
      ...[`${device.inFlight}`, rate(device.doorbells)],
      ...[rate(device.interrupts), rate(device.errors)],
    ])
  );
  const lines = table([head, ...machineRows]).split("\n");
  if (deviceRows.length > 0) {
    lines.push("", ...table([deviceHead, ...deviceRows]).split("\n"));
  }
  return lines.map(plain);
}

function ratesOf(
  before: readonly Look[],
  { id, at, metrics }: Look,
): MachineRates | undefined {
  const past = before.find((look) => look.id === id);
  if (!metrics || !past?.metrics || at <= past.at) return undefined;
  return ratesBetween(past.metrics, metrics, (at - past.at) / 1000);
}

function nameOf({ id, description }: Look): string {
  return description?.name ?? id;
}

/** Such as `mmio 5.2k, io 12`, of all vCPUs. */
function reasons({ vcpus }: MachineRates): string {
  const sums = new Map<string, number>();
  for (const [reason, value] of vcpus.flat()) {
    sums.set(reason, (sums.get(reason) ?? 0) + value);
  }
  return [...sums].sort(([, a], [, b]) => b - a).slice(0, 3)
    .map(([reason, value]) => `${reason} ${rate(value)}`).join(", ");
}

function rate(value: number): string {
  if (value < 1000) {
    return value < 10 && value > 0 ? value.toFixed(1) : `${Math.round(value)}`;
  }
  if (value < 1e6) return `${(value / 1e3).toFixed(1)}k`;
  return `${(value / 1e6).toFixed(1)}M`;
}

function bytes(value: number): string {
  return value === 0 ? "0" : `${rate(value)}B`;
}

function latency(seconds: number): string {
  if (seconds === Infinity) return "> 16 s";
  if (seconds < 1e-3) return `< ${Math.round(seconds * 1e6)} us`;
  if (seconds < 1) return `< ${Math.round(seconds * 1e3)} ms`;
  return `< ${Math.round(seconds)} s`;
}

/** What has no room is not shown: the screen stays one. */
function draw(lines: string[]): void {
  const { columns, rows } = Deno.consoleSize();
  const shown = lines.slice(0, rows - 1).map((line) =>
    line.slice(0, columns - 1) + CLEAR_LINE
  );
  const text = `${HOME}${shown.join("\r\n")}${CLEAR_BELOW}`;
  standardOutput.write(new TextEncoder().encode(text));
}
