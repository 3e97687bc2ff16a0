/**
 * The tables of docs/configuration.md, from the table of keys. Run it after a
 * change of `keys.ts`:
 *
 *     deno run -A vmm/config/docs.ts
 *
 * @module
 */
import { CONFIG } from "./keys.ts";
import type { Key, KeyTable } from "./schema/rule.ts";

const BEGIN = "<!-- keys: from vmm/config/keys.ts -->";
const END = "<!-- /keys -->";

/**
 * The tables in Markdown: one of sections, then one of each object's keys. An
 * object that several keys have is there once.
 */
export function keyTables(): string {
  const paths = new Map<KeyTable, string[]>();
  collect(CONFIG.keys!, "", paths);
  return [...paths].map(([keys, names]) => {
    const title = names.map((name) => `\`${name}\``).join(", ");
    return table(title || "The file", keys);
  }).join("\n\n");
}

function collect(
  keys: KeyTable,
  path: string,
  paths: Map<KeyTable, string[]>,
): void {
  const known = paths.get(keys);
  if (known) return void known.push(path);
  paths.set(keys, path === "" ? [] : [path]);
  for (const [name, { rule }] of Object.entries(keys)) {
    const at = path === "" ? name : `${path}.${name}`;
    if (rule.keys) collect(rule.keys, at, paths);
  }
}

function table(title: string, keys: KeyTable): string {
  const rows = Object.entries(keys).map(([name, key]) => [
    `\`${name}\``,
    key.rule.takes,
    key.status + (key.required ? ", required" : ""),
    key.about + defaultOf(key),
  ]);
  const head = ["key", "values", "", "what it does"];
  const lines = [head, head.map(() => "---"), ...rows];
  return `### ${title}\n\n` +
    lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function defaultOf({ default: filled }: Key<unknown>): string {
  if (filled === undefined || Array.isArray(filled.value)) return "";
  const { value, note } = filled;
  const word = typeof value === "string" ? `\`${value}\`` : `${value}`;
  return ` Default ${word}${note}.`;
}

/** `document` with the tables in their place. */
export function withKeyTables(document: string): string {
  const [before, rest = ""] = document.split(BEGIN);
  const after = rest.split(END)[1];
  if (after === undefined) throw new Error(`no ${BEGIN} and ${END}`);
  return `${before}${BEGIN}\n\n${keyTables()}\n\n${END}${after}`;
}

if (import.meta.main) {
  const path = new URL("../../docs/configuration.md", import.meta.url);
  const document = await Deno.readTextFile(path);
  await Deno.writeTextFile(path, withKeyTables(document));
  await new Deno.Command(Deno.execPath(), { args: ["fmt", path.pathname] })
    .output();
}
