/**
 * The programs that the guest runs, in its shell, and what they print.
 *
 * @module
 */
import { MiB } from "../../guest/layout.ts";
import { GUEST_ADDRESS, HOST_ADDRESS } from "../paths/network.ts";

/** A program, and the value to read from what it prints. */
interface Program {
  /** What the table calls it. */
  name: string;
  /** Its value's unit. */
  unit: "kB/s" | "us";
  /** What the shell runs. */
  command: string;
  /** How much it moves, in bytes; it is timed. */
  bytes?: number;
}

const DISK = "/dev/vdb";
const ZERO = "/dev/zero";
const NULL = "/dev/null";

/** The host's end that takes all that comes. */
export const SINK_PORT = 5009;
/** The host's end that sends, and closes. */
export const SOURCE_PORT = 5010;
/** How many bytes go over TCP, either way. */
export const TCP_SIZE = 512 * 1024;

function dd(name: string, words: string, block: number, count: number) {
  const command = `time dd ${words} bs=${block} count=${count}`;
  return { name, unit: "kB/s", command, bytes: block * count } as const;
}

/** What is run, in this order. */
export const PROGRAMS: readonly Program[] = [
  dd("dd, 4 KiB reads", `if=${DISK} of=${NULL} iflag=direct`, 4096, 1000),
  dd("dd, 4 KiB writes", `if=${ZERO} of=${DISK} oflag=direct`, 4096, 1000),
  dd("dd, 1 MiB reads", `if=${DISK} of=${NULL} iflag=direct`, MiB, 48),
  dd("dd, 1 MiB writes", `if=${ZERO} of=${DISK} oflag=direct`, MiB, 16),
  {
    name: "ping -A, round trip",
    unit: "us",
    command: `ping -q -A -c 200 ${HOST_ADDRESS}`,
  },
  {
    name: "TCP out, nc",
    unit: "kB/s",
    command: `head -c ${TCP_SIZE} ${ZERO} >/tmp/data; ` +
      `time nc ${HOST_ADDRESS} ${SINK_PORT} </tmp/data`,
    bytes: TCP_SIZE,
  },
  {
    name: "TCP in, nc",
    unit: "kB/s",
    command: `time nc ${HOST_ADDRESS} ${SOURCE_PORT} >${NULL}`,
    bytes: TCP_SIZE,
  },
];

/** The last line that the guest prints. */
export const DONE = /^all-done-2$/;

/** What the guest's shell is told to do. */
export function script(): string {
  const up = `ifconfig eth0 ${GUEST_ADDRESS} netmask 255.255.255.0 up`;
  const run = PROGRAMS.map(({ command }, n) =>
    `echo begin-${n}; (${command}) 2>&1`
  );
  return [up, ...run, "echo all-done-$((1+1))"].join("; ");
}

/**
 * Reads what the guest has printed.
 *
 * @param text all of it
 * @param who it was, for the message
 * @returns the values of {@linkcode PROGRAMS}, by name
 * @throws {Error} one is missing
 */
export function read(text: string, who: string): Map<string, number> {
  const parts = text.split(/begin-\d+\r?\n/).slice(1);
  return new Map(PROGRAMS.map(({ name, bytes }, n) => {
    const value = valueIn(parts[n] ?? "", bytes);
    if (value === undefined) throw new Error(`${who}, ${name}:\n${text}`);
    return [name, value];
  }));
}

function valueIn(printed: string, bytes?: number): number | undefined {
  const [, average] = /round-trip .* = [\d.]+\/([\d.]+)\//.exec(printed) ?? [];
  if (average) return Number(average) * 1000;
  const [, minutes, seconds] = /real\s+(\d+)m ([\d.]+)s/.exec(printed) ?? [];
  if (bytes === undefined || seconds === undefined) return undefined;
  return bytes / (60 * Number(minutes) + Number(seconds)) / 1000;
}
