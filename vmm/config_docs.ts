/**
 * The tables of docs/configuration.md, from the table of keys. Run it after a
 * change of `config_keys.ts`:
 *
 *     deno run -A vmm/config_docs.ts
 *
 * @module
 */
import { CONFIG_FILE } from "./config_keys.ts";
import type { KeyTable } from "./config_rule.ts";

const BEGIN = "<!-- keys: from vmm/config_keys.ts -->";
const END = "<!-- /keys -->";

/** The tables in Markdown: one of sections, then one of each section's keys. */
export function keyTables(): string {
  const sections = CONFIG_FILE.keys!;
  const parts = [table("The file", sections)];
  for (const [name, { rule }] of Object.entries(sections)) {
    if (rule.keys) parts.push(table(`\`${name}\``, rule.keys));
  }
  return parts.join("\n\n");
}

function table(title: string, keys: KeyTable): string {
  const rows = Object.entries(keys).map(([name, key]) => [
    `\`${name}\``,
    key.rule.takes,
    key.status + (key.required ? ", required" : ""),
    key.about,
  ]);
  const head = ["key", "values", "", "what it does"];
  const lines = [head, head.map(() => "---"), ...rows];
  return `### ${title}\n\n` +
    lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** `document` with the tables in their place. */
export function withKeyTables(document: string): string {
  const [before, rest = ""] = document.split(BEGIN);
  const after = rest.split(END)[1];
  if (after === undefined) throw new Error(`no ${BEGIN} and ${END}`);
  return `${before}${BEGIN}\n\n${keyTables()}\n\n${END}${after}`;
}

if (import.meta.main) {
  const path = new URL("../docs/configuration.md", import.meta.url);
  const document = await Deno.readTextFile(path);
  await Deno.writeTextFile(path, withKeyTables(document));
  await new Deno.Command(Deno.execPath(), { args: ["fmt", path.pathname] })
    .output();
}
