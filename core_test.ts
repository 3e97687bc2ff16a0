/** docs/core.md is true: what it lists is all there, whole, and no more. */
import assert from "node:assert/strict";
import { references, ROOT } from "./vmm/testing/module_graph.ts";

const MAX_LINES = 8000;
const MAX_DOORS = 11;

/** What no static import of the core reaches, not even behind a door. */
const NEVER = [
  /^(emulate|images|cli|probe|api|monitor|sandbox)\//,
  /^vmm\/(snapshot|controller|trace|gdb|pci)\//,
  /^devices\/pci\//,
  /^devices\/virtio\/transport\/pci/,
  // But for what a configuration has to know of their limits.
  /^devices\/virtio\/(rng\.ts|(vsock|console|balloon)\/(?!spec\.ts))/,
];

const REFERENCES = (await references())
  .filter(({ way }) => way === "import");
const { core, doors } = listed(
  Deno.readTextFileSync(new URL("docs/core.md", ROOT)),
);

/** The files that each part of the list names. */
function listed(markdown: string): { core: string[]; doors: string[] } {
  const [before, after] = markdown.split(/^## Doors$/m);
  const paths = (text: string) =>
    [...text.matchAll(/^- `([\w/.]+)`: \S/gm)].map(([, path]) => path!);
  return { core: paths(before!), doors: paths(after!) };
}

Deno.test("core: what is listed exists, once, and has its sentence", () => {
  assert.ok(core.length > 40, `only ${core.length} files`);
  const all = [...core, ...doors];
  assert.equal(new Set(all).size, all.length);
  const missing = all.filter((path) => {
    try {
      return !Deno.statSync(new URL(path, ROOT)).isFile;
    } catch {
      return true;
    }
  });
  assert.deepEqual(missing, []);
});

Deno.test(`core: at most ${MAX_LINES} lines, without ffi`, () => {
  const lines = core.filter((path) => !path.startsWith("ffi/")).map((path) =>
    Deno.readTextFileSync(new URL(path, ROOT)).split("\n").length - 1
  );
  const sum = lines.reduce((a, b) => a + b);
  assert.ok(sum <= MAX_LINES, `${sum} lines`);
});

Deno.test("core: it imports itself, ffi, and a few named doors", () => {
  assert.ok(doors.length <= MAX_DOORS, `${doors.length} doors`);
  const inside = new Set([...core, ...doors]);
  const leaving = REFERENCES
    .filter(({ from, to }) =>
      core.includes(from) && !inside.has(to) && !to.startsWith("ffi/")
    )
    .map(({ from, to }) => `${from} -> ${to}`);
  assert.deepEqual(leaving, []);
  const used = new Set(
    REFERENCES.filter(({ from }) => core.includes(from))
      .map(({ to }) => to),
  );
  assert.deepEqual(doors.filter((door) => !used.has(door)), [], "of no use");
});

Deno.test("core: nothing that a machine can do without is reached from it", () => {
  const parents = new Map<string, string>();
  const reached = new Set(core);
  for (const from of reached) {
    for (const reference of REFERENCES) {
      if (reference.from !== from || reached.has(reference.to)) continue;
      reached.add(reference.to);
      parents.set(reference.to, from);
    }
  }
  const wrong = [...reached]
    .filter((path) => NEVER.some((pattern) => pattern.test(path)))
    .map((path) => `${parents.get(path)} -> ${path}`);
  assert.deepEqual(wrong, []);
});
