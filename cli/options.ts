/**
 * The words of the command line that are not a device's, as parts of a
 * {@linkcode VmConfig}. It needs no permission.
 *
 * @module
 */
import { VireoError } from "../ffi/error.ts";
import { EVENTS } from "./snapshot/event_words.ts";
import type { OptionRow } from "../vmm/devices/kind.ts";

/** `--root`: the prepared image. */
export const BUSYBOX = "busybox";
/** `--root`: no root disk. */
export const NO_ROOT = "none";
/** `--distro`: whose kernels are known. */
export const DISTROS = ["debian"] as const;

/** `--variant`: the prepared kernels. */
export const VARIANTS = ["small", "full", "research"] as const;

/** Which prepared kernel. */
export const PREPARED_KERNEL: OptionRow[] = [
  {
    flags: "--variant <name>",
    about: "the prepared kernel: small, full or research; default: what suits",
    values: VARIANTS,
  },
  {
    flags: "--kconfig <file>",
    about: "options of a .config, for the research kernel",
  },
];

/** `--timeout`, of whatever runs a machine. */
export const TIMEOUT: OptionRow = {
  flags: "--timeout <seconds>",
  about: "end the machine after so long, with exit status 124",
};

/** What other processes see of a machine. */
export const CONTROL: OptionRow[] = [
  { flags: "--name <name>", about: 'what "vireo ps" and others call it' },
  {
    flags: "--no-control",
    about: "no control socket, which they need",
  },
];

/** What watches a machine. */
export const MONITORS: OptionRow[] = [
  {
    flags: "--metrics <address>",
    about: "its numbers for Prometheus, at [HOST:]PORT or unix:PATH",
    values: ["unix:PATH"],
  },
  {
    flags: "--trace <file>",
    about: "what happens, for Perfetto: FILE[,TYPE...][,vcpu=N]" +
      "[,device=NAME][,max=SIZE]",
  },
  {
    flags: "--monitor [address]",
    about: "a live page for a browser, at [HOST:]PORT; default: any port",
  },
  { flags: "--public", about: "other hosts may see them" },
];

/** When to save a machine, and where. */
export const SNAPSHOT_ON: OptionRow = {
  flags: "--snapshot-on <event> <dir>",
  about: "save it there: when init asks what to do (rendezvous), at SIGUSR2 " +
    '(signal), or text "WORDS" on its console',
  values: EVENTS,
  repeatable: true,
};

/** `restore --exec`. */
export const RESTORED_EXEC: OptionRow = {
  flags: "--exec <commands>",
  about: "run them in a guest that was saved at its rendezvous, and end",
};

/** `exec --env`. */
export const EXEC_ENV: OptionRow = {
  flags: "--env <variable>",
  about: "a variable for it: NAME=value; repeatable",
  repeatable: true,
};

/** `run --instant`. */
export const RUN_INSTANT: OptionRow = {
  flags: "--instant",
  about: "fail unless it is a prepared guest, which goes on from its last " +
    "boot, as with vireo boot",
};

/** `boot --cold`, `run --cold`. */
export const COLD: OptionRow = {
  flags: "--cold",
  about: "boot from the beginning, and keep nothing for the next boot",
};

/** Of whatever shows a guest's log. */
export const QUIET: OptionRow = { flags: "--quiet", about: "no kernel log" };

/** `restore --pages`. */
export const PAGES: OptionRow = {
  flags: "--pages <source>",
  about: "memory as it is touched, from socket=PATH or module=MODULE",
  values: ["socket=PATH", "module=MODULE"],
};

/** `restore --disk`. */
export const RESTORED_DISK: OptionRow = {
  flags: "--disk <disk>",
  about: "another file for a disk: ID=FILE; repeatable",
  repeatable: true,
};

const UNITS: Record<string, number> = {
  "": 1,
  K: 1 / 1024,
  M: 1,
  G: 1024,
  T: 1024 * 1024,
};

/**
 * MiB from `128M`, `2G` or `128`.
 *
 * @throws {VireoError} when it is no size, or not a whole number of MiB
 */
export function parseMemory(text: string): number {
  const match = /^(\d+)([KMGT]?)(i?B)?$/i.exec(text);
  const mebibytes = match
    ? Number(match[1]) * UNITS[match[2]!.toUpperCase()]!
    : NaN;
  if (!Number.isInteger(mebibytes)) {
    throw new VireoError(
      `--memory ${text}: not a size in whole MiB like 128M or 2G`,
    );
  }
  return mebibytes;
}

/** The most that a timer takes, in whole seconds: 2^31 - 1 ms. */
const LONGEST_TIMEOUT = 2_147_483;

/**
 * Seconds from `60` or `0.5`; undefined without a text.
 *
 * @throws {VireoError} when they are none, or a timer can't wait for so long
 */
export function parseTimeout(text?: string): number | undefined {
  if (text === undefined) return undefined;
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
  if (seconds > 0 && seconds <= LONGEST_TIMEOUT) return seconds;
  throw new VireoError(
    `--timeout ${text}: not a number of seconds, above 0 and at most ` +
      `${LONGEST_TIMEOUT}`,
  );
}
