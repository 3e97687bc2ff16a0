/**
 * The command line of `bin/firecracker`: `--name value` pairs.
 *
 * @module
 */
import { SWITCHES, VALUES } from "./flag_table.ts";

/** What the command line says. */
export interface Flags {
  apiSock: string;
  noApi: boolean;
  id: string;
  configFile?: string;
  metadata?: string;
  logPath?: string;
  level?: string;
  module?: string;
  showLevel: boolean;
  showLogOrigin: boolean;
  metricsPath?: string;
  bootTimer: boolean;
  bodyMax?: number;
  mmdsMax?: number;
  pci: boolean;
  /** Nothing of Vireo's own can be asked. */
  strict: boolean;
  /** Code of the user's may be. */
  allowModules: boolean;
  apiSockMode?: number;
  describeSnapshot?: string;
  /** Something that is told instead of all that. */
  only?: "help" | "version" | "snapshot-version";
}

/** What is wrong with the command line. */
export class FlagError extends Error {
  /** How the process ends. */
  readonly exit: number;

  /** A mistake that the process ends with `exit` for. */
  constructor(message: string, exit = 153) {
    super(message);
    this.exit = exit;
  }
}

type ValueName = keyof typeof VALUES;
type SwitchName = keyof typeof SWITCHES;

/**
 * Reads the command line.
 *
 * @throws {FlagError} it is wrong
 */
export function parseFlags(args: readonly string[]): Flags {
  if (args.includes("--help") || args.includes("-h")) return only("help");
  if (args.includes("--version")) return only("version");
  const values = new Map<ValueName, string>();
  const switches = new Set<SwitchName>();
  for (let at = 0; at < args.length && args[at] !== "--"; at++) {
    const word = args[at]!;
    const name = word.slice(2);
    const known = word.startsWith("--");
    if (known && Object.hasOwn(SWITCHES, name)) {
      once(switches.has(name as SwitchName), name);
      switches.add(name as SwitchName);
    } else if (known && Object.hasOwn(VALUES, name)) {
      once(values.has(name as ValueName), name);
      const value = args[++at];
      if (value === undefined || value.startsWith("--")) {
        throw new FlagError(
          `Arguments parsing error: The argument '${name}' requires a value, ` +
            "but none was supplied.",
        );
      }
      values.set(name as ValueName, value);
    } else {
      throw new FlagError(
        `Arguments parsing error: Found argument '${name || word}' which ` +
          "wasn't expected, or isn't valid in this context.",
      );
    }
  }
  if (switches.has("snapshot-version")) return only("snapshot-version");
  checkTogether(values, switches);
  return flagsOf(values, switches);
}

function only(what: NonNullable<Flags["only"]>): Flags {
  return { ...flagsOf(new Map(), new Set()), only: what };
}

function once(there: boolean, name: string): void {
  if (!there) return;
  throw new FlagError(
    `Arguments parsing error: The argument '${name}' was provided more than ` +
      "once.",
  );
}

function checkTogether(
  values: Map<ValueName, string>,
  switches: Set<SwitchName>,
): void {
  if (switches.has("no-seccomp") && values.has("seccomp-filter")) {
    throw new FlagError(
      "Arguments parsing error: Argument 'no-seccomp' cannot be used together " +
        "with argument 'seccomp-filter'.",
    );
  }
  if (switches.has("no-api") && !values.has("config-file")) {
    throw new FlagError(
      "Arguments parsing error: Argument 'config-file' required, but not found.",
    );
  }
}

const ID = /^[A-Za-z0-9-]{1,64}$/;
/** SIGABRT, as Rust's panics end. */
export const ABORTED = 134;

function flagsOf(
  values: Map<ValueName, string>,
  switches: Set<SwitchName>,
): Flags {
  const id = values.get("id") ?? "anonymous-instance";
  if (!ID.test(id)) {
    throw new FlagError(
      `Invalid instance ID "${id}": 1 to 64 letters, digits and hyphens`,
      ABORTED,
    );
  }
  for (const name of TIMES) number(values, name);
  const text = (name: ValueName, key: string) =>
    values.has(name) ? { [key]: values.get(name) } : {};
  const bodyMax = number(values, "http-api-max-payload-size");
  const mmdsMax = number(values, "mmds-size-limit") ?? bodyMax;
  return {
    apiSock: values.get("api-sock") ?? "/run/firecracker.socket",
    noApi: switches.has("no-api"),
    id,
    ...text("config-file", "configFile"),
    ...text("metadata", "metadata"),
    ...text("log-path", "logPath"),
    ...text("level", "level"),
    ...text("module", "module"),
    ...text("metrics-path", "metricsPath"),
    ...text("describe-snapshot", "describeSnapshot"),
    showLevel: switches.has("show-level"),
    showLogOrigin: switches.has("show-log-origin"),
    bootTimer: switches.has("boot-timer"),
    pci: switches.has("enable-pci"),
    strict: switches.has("strict"),
    allowModules: switches.has("allow-modules"),
    ...(bodyMax !== undefined && { bodyMax }),
    ...(mmdsMax !== undefined && { mmdsMax }),
    ...modeOf(values.get("api-sock-mode")),
  };
}

const TIMES: readonly ValueName[] = [
  "start-time-us",
  "start-time-cpu-us",
  "parent-cpu-time-us",
];

function number(
  values: Map<ValueName, string>,
  name: ValueName,
): number | undefined {
  const text = values.get(name);
  if (text === undefined) return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  throw new FlagError(`'${name}' is no number: ${text}`, ABORTED);
}

function modeOf(text: string | undefined): { apiSockMode?: number } {
  if (text === undefined) return {};
  if (/^0?[0-7]{1,3}$/.test(text)) return { apiSockMode: parseInt(text, 8) };
  throw new FlagError(`'api-sock-mode' is no octal mode: ${text}`);
}
