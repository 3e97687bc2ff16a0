/**
 * Records what mod.ts has now in docs/surface.json; a new name is experimental
 * until someone writes `stable` there and runs this again.
 *
 *     deno run -A .ci/surface/main.ts
 */
import { type Recorded, surface } from "./surface.ts";

const file = new URL("../../docs/surface.json", import.meta.url);
const before: Record<string, Recorded> = JSON.parse(
  await Deno.readTextFile(file).catch(() => "{}"),
);
const now = await surface(new URL("../../mod.ts", import.meta.url));
const after = [...now].map(([name, { kind, members }]): [string, Recorded] => {
  const stability = before[name]?.stability ?? "experimental";
  return [name, {
    stability,
    kind,
    ...(stability === "stable" && { members }),
  }];
}).sort(([a], [b]) => a < b ? -1 : 1);
const text = JSON.stringify(Object.fromEntries(after), null, 2);
await Deno.writeTextFile(file, `${text}\n`);
