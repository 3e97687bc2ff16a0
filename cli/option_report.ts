/**
 * What `vireo boot` says of a configuration: in the words of its options,
 * where a file's reader says it with the path of a key.
 *
 * @module
 */
import { findingText, report } from "../vmm/config/schema/report.ts";
import type { Finding } from "../vmm/config/schema/rule.ts";

/** By path without the index, which is the second parameter. */
const TEXTS: Record<string, (finding: Finding, index: number) => string> = {
  "machine-config.vcpu_count": (finding) => `cpus: ${findingText(finding)}`,
  "machine-config.mem_size_mib": ({ value }) =>
    `memory: ${value} MiB is not within 2 MiB to 64 GiB`,
  "machine-config.memory_file": (finding) => `memory: ${findingText(finding)}`,
  "machine-config.poll_us": (finding) => `poll-us: ${findingText(finding)}`,
  "drives.queues": ({ value, expected }, index) =>
    `disk "vireo-${index}": ${value} queues is not ${expected}`,
  "network-interfaces.queues": (finding, index) =>
    `network "eth${index}": queues: ${findingText(finding)}`,
  "network-interfaces.guest_mac": (finding) => `mac: ${findingText(finding)}`,
  "vsock.guest_cid": (finding) => `vsock: cid ${findingText(finding)}`,
  "balloon.amount_mib": ({ value, expected }) =>
    `balloon: ${value} MiB is not ${expected}`,
  "balloon.stats_polling_interval_s": ({ value, expected }) =>
    `balloon: a statistics interval of ${value} s is not ${expected}`,
  "console.ports": (finding) => `console: ${findingText(finding)}`,
  "console.ports.name": ({ code, value }) =>
    code === "taken"
      ? `port "${value}": there are two of that name`
      : `port "${value}": a name has 1 to 64 bytes, and no slash`,
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
  const { path } = finding;
  const index = Number(/\[(\d+)\]/.exec(path)?.[1] ?? 0);
  const text = TEXTS[path.replaceAll(/\[\d+\]/g, "")];
  if (text === undefined) return report([finding]);
  return text(finding, path.startsWith("drives[") ? index + firstDisk : index);
}
