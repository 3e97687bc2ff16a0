/**
 * `vireo probe`.
 *
 * @module
 */
import { probeHost } from "./probe.ts";
import { probeTable } from "./table.ts";

/**
 * Probes this host and prints what it found.
 *
 * @returns the exit status: 1 when Vireo can't run here
 */
export function probeCommand(options: { json?: boolean }): number {
  const report = probeHost();
  const colours = Deno.stdout.isTerminal() && !Deno.noColor;
  console.log(
    options.json
      ? JSON.stringify(report, null, 2)
      : probeTable(report, colours).trimEnd(),
  );
  return report.runs ? 0 : 1;
}
