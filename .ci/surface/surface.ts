/**
 * What mod.ts promises its users, as `deno doc --json` has it: each public name
 * is stable, with a digest of each of its members, or experimental.
 *
 * @module
 */
import { createHash } from "node:crypto";

/** What is recorded of a name. */
export interface Recorded {
  /** An experimental name may change with any commit. */
  stability: "stable" | "experimental";
  /** `class`, `interface`, ... */
  kind: string;
  /** Of a stable name: a digest of each member, without its documentation. */
  members?: Record<string, string>;
}

type Json = { [key: string]: Json } | Json[] | string | number | boolean | null;
type JsonObject = { [key: string]: Json };

/** The names, each with what would be recorded of it if it were stable. */
export async function surface(
  module: URL,
): Promise<Map<string, Required<Omit<Recorded, "stability">>>> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", module.href],
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout));
  const [{ symbols }] = Object.values(nodes) as [{ symbols: JsonObject[] }];
  return new Map(symbols.map(({ name, declarations }) => {
    const all = declarations as JsonObject[];
    const kind = all.map(({ kind }) => kind).join(" and ");
    const members = Object.assign({}, ...all.map(membersOf));
    return [name as string, { kind, members }];
  }));
}

const LISTS = ["constructors", "methods", "properties", "members"];

/** Digests of a declaration's members, and of what else there is to it. */
function membersOf({ def }: JsonObject): Record<string, string> {
  const { ...rest } = (def ?? {}) as JsonObject;
  const members: Record<string, string> = {};
  for (const list of LISTS) {
    const items = (rest[list] ?? []) as JsonObject[];
    delete rest[list];
    for (const item of items) {
      if (isPrivate(item)) continue;
      const name = String(item["name"] ?? "new");
      members[name] = digest(`${members[name] ?? ""}${plain(item)}`);
    }
  }
  return { "": digest(plain(rest)), ...members };
}

function isPrivate({ accessibility, jsDoc }: JsonObject): boolean {
  const tags = ((jsDoc as JsonObject)?.["tags"] ?? []) as JsonObject[];
  return accessibility === "private" ||
    tags.some(({ kind, value }) =>
      kind === "internal" || value === "@internal"
    );
}

/** JSON without what is no promise. */
function plain(value: Json): string {
  const drop = ["location", "jsDoc", "hasBody", "resolution", "repr"];
  return JSON.stringify(
    value,
    (key, value) => drop.includes(key) ? undefined : value,
  );
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}
