/**
 * `vireo ps`: the machines that run.
 *
 * @module
 */
import { MiB } from "../../guest/layout.ts";
import { type FoundMachine, machines } from "../../vmm/controller/client.ts";
import { durationText, plain, table } from "../text.ts";

/** What a machine whose process doesn't answer is. */
const SILENT = "no answer";

/**
 * This user's machines, oldest first.
 *
 * @param json for programs: a list of what the machines say of themselves
 * @returns what to print
 * @throws {VireoError} others can get at their control sockets
 */
export async function ps({ json }: { json?: boolean }): Promise<string> {
  const all = await machines();
  if (json) return JSON.stringify(all.map(described), null, 2);
  const head = ["PID", "NAME", "STATE", "CPUS", "MEMORY", "UPTIME", "COMMAND"];
  return plain(table([head, ...all.map(row)]));
}

function described({ id, description }: FoundMachine): object {
  return description ? { id, ...description } : { id, state: SILENT };
}

function row({ id, description }: FoundMachine): string[] {
  if (!description) return [id, "-", SILENT, "-", "-", "-", "-"];
  const { name = "-", state, cpus, memory, uptime, command } = description;
  return [
    ...[id, name, state, `${cpus}`, `${memory / MiB} MiB`],
    ...[durationText(uptime), command.map(shellWord).join(" ")],
  ];
}

/** A word as a shell takes it, without anything that a terminal acts on. */
function shellWord(word: string): string {
  if (/^[\w./,:=@%+-]+$/.test(word)) return word;
  const line = plain(word).replaceAll("\n", "?");
  return `'${line.replaceAll("'", "'\\''")}'`;
}
