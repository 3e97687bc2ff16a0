/** What `npm pack` makes: all that Vireo runs with, and nothing of its tests. */
import assert from "node:assert/strict";
import { isOnPath, KVM, type Need, needing } from "../ffi/testing/needs.ts";
import { productPath, RECIPES } from "../images/linux/cache.ts";
import { command } from "../vmm/testing/mod.ts";
import { references, ROOT, UNKNOWN } from "../vmm/testing/module_graph.ts";

const NPM: Need = {
  missing: () =>
    isOnPath("npm") ? "" : "npm, which comes with Node, is missing",
};

/** The package, unpacked where npm would put it, for as long as `fn` runs. */
async function unpacked(
  fn: (folder: string, files: string[]) => Promise<void>,
): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  try {
    const printed = await command(
      ...["npm", "pack", "--json", "--silent", "--offline"],
      ...["--pack-destination", dir, ROOT.pathname],
    );
    const [{ filename, files }] = JSON.parse(printed);
    const folder = `${dir}/node_modules/vireo`;
    Deno.mkdirSync(folder, { recursive: true });
    await command(
      ...["tar", "-xf", `${dir}/${filename}`, "-C", folder],
      ...["--strip-components=1"],
    );
    await fn(folder, files.map(({ path }: { path: string }) => path));
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

/** Everything that loading `entry` can lead to, by whatever way. */
async function reachable(entry: string): Promise<string[]> {
  const all = (await references()).filter(({ way }) => way !== "type");
  const reached = new Set([entry]);
  for (const from of reached) {
    for (const { from: one, to } of all) if (one === from) reached.add(to);
  }
  reached.delete(UNKNOWN);
  return [...reached];
}

/** What a folder has in it, and when each was changed. */
function listing(folder: string): string[] {
  return Deno.readDirSync(folder).toArray().flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    const { mtime, size } = Deno.statSync(path);
    const own = `${path} ${size} ${mtime?.getTime()}`;
    return isDirectory ? [own, ...listing(path)] : [own];
  }).toSorted();
}

Deno.test("package: its version is that of deno.json, and Deno doesn't use it", () => {
  const read = (name: string) =>
    JSON.parse(Deno.readTextFileSync(new URL(name, ROOT)));
  const [deno, node] = [read("deno.json"), read("package.json")];
  assert.equal(node.version, deno.version);
  // Deno would take packages from node_modules otherwise, and lock these.
  assert.equal(deno.nodeModulesDir, "none");
  for (const key of Object.keys(node)) {
    assert.doesNotMatch(key, /dependencies/i);
  }
  assert.equal(read("deno.lock").workspace.packageJson, undefined);
});

Deno.test(needing([NPM, KVM], {
  name:
    "package: has all that main.ts, mod.ts and the jailer load, and is never written to",
  fn: () =>
    unpacked(async (folder, files) => {
      const needed = [
        ...await reachable("main.ts"),
        ...await reachable("mod.ts"),
        ...await reachable("sandbox/main.ts"),
        ...["bin/vireo", "deno.json", "deno.lock", "README.md", "LICENSE"],
      ];
      const missing = needed.filter((path) =>
        !files.some((file) => file === path || file.startsWith(path))
      );
      assert.deepEqual(missing, []);
      assert.deepEqual(
        files.filter((path) => /_test\.ts$|testing\//.test(path)),
        [],
      );

      // A kernel that was built of these sources is the package's, too.
      const { productPath: theirs } = await import(
        `${folder}/images/linux/cache.ts`
      );
      for (const recipe of RECIPES) {
        assert.equal(await theirs(recipe), await productPath(recipe));
      }

      const before = listing(folder);
      const path = `${Deno.execPath().replace(/[^/]*$/, "")}:/usr/bin:/bin`;
      const { code, stdout, stderr } = await new Deno.Command(
        `${folder}/bin/vireo`,
        { args: ["demo"], env: { PATH: path }, cwd: "/", stdin: "null" },
      ).output();
      const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
      assert.equal(code, 0, text(stderr));
      assert.match(text(stdout), /^demo: ok/m);
      assert.deepEqual(listing(folder), before);
    }),
}));
