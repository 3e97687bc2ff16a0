/**
 * The flags of `bin/firecracker`, and what each is for.
 *
 * @module
 */

/** Those with a value, and what it is for. */
export const VALUES = {
  "api-sock": ["<path>", "default: /run/firecracker.socket"],
  "api-sock-mode": ["<octal>", "its mode, such as 600; Vireo's own flag"],
  id: ["<id>", "default: anonymous-instance"],
  "config-file": ["<path>", "a machine that is started at once"],
  metadata: ["<path>", "the metadata service's data, in JSON"],
  "seccomp-filter": ["<path>", "taken, and without effect"],
  "log-path": ["<path>", "a file or FIFO for the log"],
  level: ["<level>", "Off, Error, Warn, Info, Debug or Trace"],
  module: ["<name>", "only this module's lines"],
  "metrics-path": ["<path>", "a file or FIFO for the metrics"],
  "start-time-us": ["<time>", "the jailer's; for the metrics"],
  "start-time-cpu-us": ["<time>", "the same"],
  "parent-cpu-time-us": ["<time>", "the same"],
  "http-api-max-payload-size": ["<bytes>", "the longest body (51200)"],
  "mmds-size-limit": ["<bytes>", "the most metadata (the same)"],
  "describe-snapshot": ["<path>", "print the version of a state file"],
} as const;

/** The others. */
export const SWITCHES = {
  "no-api": "no socket; only with --config-file",
  "no-seccomp": "taken, and without effect",
  "show-level": "lines of the log have their level",
  "show-log-origin": "and the place that they come from",
  "boot-timer": "the log has the guest's boot time",
  "enable-pci": "devices are functions of PCI",
  strict: "nothing of Vireo's own under /vireo/; its own flag",
  "allow-modules": "modules, exec and faults may be asked for; its own flag",
  "snapshot-version": "print the version of state files",
  version: "print the version",
  help: "print this",
} as const;

/** A row for each: how it is written, and what for. */
export const API_FLAGS: readonly (readonly [flags: string, about: string])[] = [
  ...Object.entries(VALUES).map(([name, [value, about]]) =>
    [`--${name} ${value}`, about] as const
  ),
  ...Object.entries(SWITCHES).filter(([name]) => name !== "help")
    .map(([name, about]) => [`--${name}`, about] as const),
];
