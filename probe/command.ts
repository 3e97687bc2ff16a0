/**
 * `vireo probe`.
 *
 * @module
 */
import { probeHost } from "./probe.ts";
import { probeTable } from "./table.ts";

/**
 * Probes this host and tells what it found.
 *
 * @param print shows it
 * @returns the exit status: 1 when Vireo can't run here
 */
export function probeCommand(
  options: { json?: boolean },
  print: (text: string) => void,
): number {
  const report = probeHost();
  const colours = Deno.stdout.isTerminal() && !Deno.noColor;
  print(
    options.json
      ? JSON.stringify(report, null, 2)
      : probeTable(report, colours).trimEnd(),
  );
  return report.runs ? 0 : 1;
}
