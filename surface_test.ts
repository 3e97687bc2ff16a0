/** A change of the public names is a decision: docs/surface.json has them. */
import assert from "node:assert/strict";
import { type Recorded, surface } from "./.ci/surface/surface.ts";

const COMMAND = "; if it is meant: deno run -A .ci/surface/main.ts";

Deno.test("surface: mod.ts has the names that are recorded, and the stable ones as they were", async () => {
  const recorded: Record<string, Recorded> = JSON.parse(
    await Deno.readTextFile(new URL("docs/surface.json", import.meta.url)),
  );
  const now = await surface(new URL("mod.ts", import.meta.url));
  const changes = [
    ...Object.keys(recorded).filter((name) => !now.has(name))
      .map((name) => `${recorded[name]!.stability} ${name} is gone`),
    ...[...now].flatMap(([name, { kind, members }]) => {
      const before = recorded[name];
      if (before === undefined) return [`${name} is new`];
      if (before.kind !== kind) return [`${name} is ${kind} now`];
      if (before.members === undefined) return [];
      const all = new Set([
        ...Object.keys(members),
        ...Object.keys(before.members),
      ]);
      return [...all].filter((one) => members[one] !== before.members![one])
        .map((one) => `stable ${name}${one && `.${one}`} has changed`);
    }),
  ];
  assert.deepEqual(changes, [], `${changes.join("\n")}${COMMAND}`);
  for (const [name, { stability, members }] of Object.entries(recorded)) {
    assert.ok(["stable", "experimental"].includes(stability), name);
    assert.equal(members !== undefined, stability === "stable", name);
  }
  const stable = Object.values(recorded).filter(({ stability }) =>
    stability === "stable"
  );
  assert.ok(stable.length > 50, `${stable.length} names are stable`);
});
