/**
 * What `vireo boot` says of a configuration: in the words of its options,
 * where a file's reader says it with the path of a key.
 *
 * @module
 */
import { findingText, report } from "../vmm/config/schema/report.ts";
import type { Finding } from "../vmm/config/schema/rule.ts";
import type { Kind } from "../vmm/devices/kind.ts";
import { KINDS } from "../vmm/devices/mod.ts";

/** By path; what isn't a device's. */
const TEXTS: Record<string, (finding: Finding) => string> = {
  "machine-config.vcpu_count": (finding) => `cpus: ${findingText(finding)}`,
  "machine-config.mem_size_mib": ({ value }) =>
    `memory: ${value} MiB is not within 2 MiB to 64 GiB`,
  "machine-config.memory_file": (finding) => `memory: ${findingText(finding)}`,
  "machine-config.poll_us": (finding) => `poll-us: ${findingText(finding)}`,
};

/**
 * One line, or undefined when there is none to say: of a file that isn't there
 * it is said by who opens it.
 *
 * @param firstDisk the number of the first disk: 0 when that is the root disk
 */
export function optionReport(
  findings: readonly Finding[],
  firstDisk: 0 | 1 = 1,
): string | undefined {
  const finding = findings.find(({ code }) => code !== "no-file");
  if (finding === undefined) return undefined;
  return TEXTS[finding.path]?.(finding) ?? deviceText(finding, firstDisk) ??
    report([finding]);
}

function deviceText(finding: Finding, firstDisk: number): string | undefined {
  const { path } = finding;
  const index = Number(/\[(\d+)\]/.exec(path)?.[1] ?? 0);
  const [key = "", below = ""] = path.replaceAll(/\[\d+\]/g, "")
    .split(/\.(.*)/);
  const kind: Kind | undefined = (KINDS as Record<string, Kind>)[key];
  const text = kind?.options?.texts?.[below];
  return text?.(finding, key === "drives" ? index + firstDisk : index);
}
