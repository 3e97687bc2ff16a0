/**
 * The command line of `bin/jailer`: `--name value` pairs, and behind `--` what
 * is for the program in the jail.
 *
 * @module
 */
import { JailError } from "./error.ts";

/** Those with a value, and what each is for. */
const VALUES = {
  id: "the jail's name, and the machine's: 1 to 64 letters, digits, hyphens",
  "exec-file": 'what runs in it; its name has "firecracker" in it',
  uid: "the user that it runs as",
  gid: "and the group",
  "chroot-base-dir": "where jails are (/srv/jailer)",
  netns: "the file of a network namespace to join",
  "cgroup-version": "1 or 2 (1)",
  "parent-cgroup": "the cgroup that its own is in (the name of --exec-file)",
} as const;

/** Those that may be said more than once. */
const LISTS = {
  cgroup: "FILE=VALUE, such as cpu.shares=10",
  "resource-limit": "fsize=BYTES or no-file=DESCRIPTORS",
} as const;

/** The others. */
const SWITCHES = {
  daemonize: "in a session of its own, with /dev/null for standard streams",
  "new-pid-ns": "as the first process of a PID namespace",
  version: "print the version",
  help: "print this",
} as const;

const REQUIRED: readonly ValueName[] = ["id", "exec-file", "uid", "gid"];

/** What `--help` prints of the flags. */
export const FLAGS_TEXT = Object.entries({ ...VALUES, ...LISTS, ...SWITCHES })
  .map(([name, about]) => {
    const value = name in SWITCHES ? "" : " <value>";
    return `  ${`--${name}${value}`.padEnd(26)} ${about}\n`;
  }).join("");

type ValueName = keyof typeof VALUES;
type ListName = keyof typeof LISTS;
type SwitchName = keyof typeof SWITCHES;

/** A cgroup's file, and what is written to it. */
export interface CgroupSetting {
  file: string;
  value: string;
}

/** Limits of setrlimit(2). */
export interface Limits {
  /** Bytes of a file. */
  fsize?: bigint;
  /** Open descriptors. */
  noFile: bigint;
}

/** What the command line says. */
export interface JailFlags {
  id: string;
  execFile: string;
  uid: number;
  gid: number;
  base: string;
  netns?: string;
  cgroupVersion: 1 | 2;
  /** Undefined: the name of the program. */
  parentCgroup?: string;
  cgroups: CgroupSetting[];
  limits: Limits;
  daemonize: boolean;
  newPidNs: boolean;
  /** For the program in the jail. */
  rest: string[];
}

/**
 * Reads the command line.
 *
 * @returns a word when it asks only for something to be printed
 * @throws {JailError} it is wrong
 */
export function parseFlags(
  args: readonly string[],
): JailFlags | "help" | "version" {
  const divide = args.indexOf("--");
  const own = divide < 0 ? args : args.slice(0, divide);
  if (own.includes("--help") || own.includes("-h")) return "help";
  if (own.includes("--version")) return "version";
  const words = readWords(own);
  for (const name of REQUIRED) {
    if (words.values.has(name)) continue;
    throw wrong(`Argument '${name}' required, but not found.`);
  }
  return flagsOf(words, divide < 0 ? [] : args.slice(divide + 1));
}

interface Words {
  values: Map<ValueName, string>;
  lists: Record<ListName, string[]>;
  switches: Set<SwitchName>;
}

function readWords(args: readonly string[]): Words {
  const values = new Map<ValueName, string>();
  const lists: Words["lists"] = { cgroup: [], "resource-limit": [] };
  const switches = new Set<SwitchName>();
  for (let at = 0; at < args.length; at++) {
    const word = args[at]!;
    const name = word.slice(2);
    const known = word.startsWith("--") &&
      [VALUES, LISTS, SWITCHES].some((table) => Object.hasOwn(table, name));
    if (!known) {
      throw wrong(
        `Found argument '${name || word}' which wasn't expected, or isn't ` +
          "valid in this context.",
      );
    }
    if (switches.has(name as SwitchName) || values.has(name as ValueName)) {
      throw wrong(`The argument '${name}' was provided more than once.`);
    }
    if (name in SWITCHES) {
      switches.add(name as SwitchName);
      continue;
    }
    const value = args[++at];
    if (value === undefined || value.startsWith("--")) {
      throw wrong(
        `The argument '${name}' requires a value, but none was supplied.`,
      );
    }
    if (name in LISTS) lists[name as ListName].push(value);
    else values.set(name as ValueName, value);
  }
  return { values, lists, switches };
}

function wrong(text: string): JailError {
  return new JailError(`Failed to parse arguments: ${text}`);
}

function flagsOf({ values, lists, switches }: Words, rest: string[]) {
  const netns = values.get("netns");
  const parentCgroup = values.get("parent-cgroup");
  if (parentCgroup !== undefined && !isBelow(parentCgroup)) {
    throw new JailError(
      "Parent cgroup path is invalid. Path should not be absolute or contain " +
        "'..' or '.'",
    );
  }
  return {
    id: idOf(values.get("id")!),
    execFile: values.get("exec-file")!,
    uid: numberOf("uid", values.get("uid")!),
    gid: numberOf("gid", values.get("gid")!),
    base: values.get("chroot-base-dir") ?? "/srv/jailer",
    ...(netns !== undefined && { netns }),
    cgroupVersion: versionOf(values.get("cgroup-version") ?? "1"),
    ...(parentCgroup !== undefined && { parentCgroup }),
    cgroups: lists.cgroup.map(settingOf),
    limits: limitsOf(lists["resource-limit"]),
    daemonize: switches.has("daemonize"),
    newPidNs: switches.has("new-pid-ns"),
    rest,
  };
}

const ID_MAX = 64;

function idOf(id: string): string {
  const at = id.search(/[^A-Za-z0-9-]/);
  if (at >= 0) {
    const position = `(${id[at]}) at position ${at}`;
    throw new JailError(`Invalid instance ID: Invalid char ${position}`);
  }
  if (id.length > 0 && id.length <= ID_MAX) return id;
  throw new JailError(
    `Invalid instance ID: Invalid len (${id.length});  the length must be ` +
      `between 1 and ${ID_MAX}`,
  );
}

/** To the kernel this one means "as it was". */
const NO_ID = 2 ** 32 - 1;

function numberOf(what: "uid" | "gid", text: string): number {
  if (/^\d{1,10}$/.test(text) && Number(text) < NO_ID) return Number(text);
  throw new JailError(`Invalid ${what}: ${text}`);
}

function versionOf(text: string): 1 | 2 {
  if (text === "1" || text === "2") return text === "1" ? 1 : 2;
  throw new JailError(`${text} is an invalid cgroup version specifier`);
}

/** True for the path of something below the folder that it is taken from. */
function isBelow(path: string): boolean {
  const parts = path.split("/");
  return parts.every((part) => !["", ".", ".."].includes(part));
}

function settingOf(text: string): CgroupSetting {
  const [file, value, more] = text.split("=");
  if (!file || !value || more !== undefined) {
    throw new JailError(`Invalid format for cgroups: ${text}`);
  }
  if (/^[a-zA-Z]\w*(\.\w+)+$/.test(file)) return { file, value };
  throw new JailError(`Cgroup invalid file: ${file}`);
}

const NO_FILE = 2048n;
const U64_MAX = 2n ** 64n - 1n;

function limitsOf(texts: readonly string[]): Limits {
  const limits: Limits = { noFile: NO_FILE };
  for (const text of texts) {
    const [, name, value] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
    if (name === undefined || value === undefined) {
      throw new JailError(`Invalid format for resources limits: ${text}`);
    }
    const limit = limitOf(value);
    if (name === "fsize") limits.fsize = limit;
    else if (name === "no-file") limits.noFile = limit;
    else throw new JailError(`Invalid resource argument: ${name}`);
  }
  return limits;
}

function limitOf(text: string): bigint {
  const why = text === ""
    ? "cannot parse integer from empty string"
    : !/^\d+$/.test(text)
    ? "invalid digit found in string"
    : BigInt(text) > U64_MAX
    ? "number too large to fit in target type"
    : undefined;
  if (why === undefined) return BigInt(text);
  throw new JailError(`Invalid limit value for resource: ${text}: ${why}`);
}
