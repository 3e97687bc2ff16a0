/**
 * `vireo snapshot inspect` and `vireo snapshot diff`: what is in a snapshot, and
 * what is otherwise in another one.
 *
 * @module
 */
import { MiB } from "../../guest/layout.ts";
import {
  compareMemory,
  describeFolder,
  type Facts,
  factsOf,
  type FolderDescription,
} from "../../vmm/snapshot/mod.ts";
import { plain, sizeText } from "../text.ts";

type Row = [name: string, value: string];

/** Registers in a line. */
const COLUMNS = 4;

/**
 * What is in a snapshot, as a person asks for it.
 *
 * @returns what to print
 * @throws {VireoError} there is none, or it is damaged
 */
export function inspect(folder: string): string {
  const description = describeFolder(folder);
  const lines = [...overview(description), ...kept(description)].map(rowText);
  for (const facts of factsOf(description.machine)) {
    lines.push("", rowText([facts.part, facts.summary]).trimEnd());
    lines.push(...detailText(facts));
  }
  return plain(lines.join("\n"));
}

function overview({ saved, origin, machine }: FolderDescription): Row[] {
  const { vireo, host, kernel, cpu } = origin;
  return [
    ["saved", saved],
    ["by", `Vireo ${vireo} on ${host}, Linux ${kernel}`],
    ["host's CPU", cpu],
    ["devices by", machine.acpi ? "ACPI" : "command line"],
    ["vCPUs", `${machine.vcpus.length}`],
  ];
}

function kept({ memory, since, sha256 }: FolderDescription): Row[] {
  const differs: Row[] = since === undefined ? [] : [["a diff of", since]];
  const mib = (bytes: number) => `${(bytes / MiB).toFixed(1)} MiB`;
  return [
    ["SHA-256", sha256],
    ...differs,
    ["memory", `${mib(memory.size)}, ${mib(memory.onDisk)} on disk`],
  ];
}

function rowText([name, value]: Row): string {
  return `${name.padEnd(15)}${value}`;
}

/** Registers beside each other, all else in lines. */
function detailText({ part, details }: Facts): string[] {
  if (!part.startsWith("vCPU")) {
    const width = Math.max(11, ...details.map(([name]) => name.length));
    return details.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`);
  }
  const cells = details.filter(([name]) => !name.startsWith("MSR"))
    .map(([name, value]) => `${name.padEnd(7)}${value}`.padEnd(27));
  const lines: string[] = [];
  for (let i = 0; i < cells.length; i += COLUMNS) {
    lines.push(`  ${cells.slice(i, i + COLUMNS).join("")}`.trimEnd());
  }
  return lines;
}

/**
 * What is otherwise in `b` than in `a`.
 *
 * @returns what to print; empty: nothing
 * @throws {VireoError} one of them is none, or damaged
 */
export function diff(a: string, b: string): string {
  const [before, after] = [describeFolder(a), describeFolder(b)];
  const lines = different(overview(before), overview(after), "");
  const [old, now] = [before, after].map(({ machine }) => factsOf(machine));
  const parts = new Set([...old!, ...now!].map(({ part }) => part));
  for (const part of parts) {
    const [left, right] = [old!, now!].map((all) =>
      all.find((facts) => facts.part === part)
    );
    if (!left || !right) {
      lines.push(`${part}: only in ${left ? a : b}`);
    } else {
      lines.push(...different(left.details, right.details, `${part} `));
    }
  }
  const { pages, bytes } = compareMemory(a, b);
  if (before.memory.size !== after.memory.size) {
    lines.push(
      `memory: ${sizeText(before.memory.size)} -> ` +
        sizeText(after.memory.size),
    );
  } else if (pages > 0) {
    lines.push(`memory: ${pages} pages differ (${sizeText(bytes)})`);
  }
  return plain(lines.join("\n"));
}

/** A line for each name whose value is another one, or is gone. */
function different(before: Row[], after: Row[], prefix: string): string[] {
  const [old, now] = [new Map(before), new Map(after)];
  return [...new Set([...old.keys(), ...now.keys()])].flatMap((name) => {
    const [left = "-", right = "-"] = [old.get(name), now.get(name)];
    return left === right ? [] : [`${prefix}${name}: ${left} -> ${right}`];
  });
}
