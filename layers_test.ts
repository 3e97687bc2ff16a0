/** Imports point down: ffi, then guest and devices, then vmm, then main. */
import assert from "node:assert/strict";

const ROOT = new URL("./", import.meta.url);

/** What each folder may import besides itself. */
const MAY_IMPORT: Record<string, string[]> = {
  ffi: [],
  guest: ["ffi"],
  devices: ["ffi", "guest"],
  // Until vmm loads what a host refuses by dynamic import only.
  vmm: ["ffi", "guest", "devices", "emulate"],
};

interface ModuleGraph {
  modules: { specifier: string; dependencies?: Dependency[] }[];
}

interface Dependency {
  code?: { specifier: string };
  type?: { specifier: string };
}

function folderOf(specifier: string): string | undefined {
  if (!specifier.startsWith(ROOT.href)) return undefined;
  const [folder, rest] = specifier.slice(ROOT.href.length).split(/\/(.*)/s);
  return rest === undefined ? "" : folder;
}

async function moduleGraph(): Promise<ModuleGraph> {
  const entries = ["mod.ts", "main.ts", "vmm/vcpu_worker.ts"];
  entries.push("vmm/device_worker.ts", "devices/virtio/testing/mod.ts");
  const importAll = entries.map((file) => `import "${new URL(file, ROOT)}";`);
  const entry = Deno.makeTempFileSync({ suffix: ".ts" });
  try {
    Deno.writeTextFileSync(entry, importAll.join("\n"));
    const { stdout, success } = await new Deno.Command(Deno.execPath(), {
      args: [
        "info",
        "--json",
        `--config=${new URL("deno.json", ROOT).pathname}`,
        entry,
      ],
    }).output();
    assert.ok(success);
    return JSON.parse(new TextDecoder().decode(stdout));
  } finally {
    Deno.removeSync(entry);
  }
}

Deno.test("layers: no module imports from a layer above its own", async () => {
  const { modules } = await moduleGraph();
  const upward: string[] = [];
  let seen = 0;
  for (const { specifier, dependencies = [] } of modules) {
    const from = folderOf(specifier);
    if (from === undefined || !(from in MAY_IMPORT)) continue;
    seen++;
    for (const { code, type } of dependencies) {
      const target = (code ?? type)?.specifier ?? "";
      const to = folderOf(target);
      if (to === undefined || to === from) continue;
      if (!MAY_IMPORT[from]!.includes(to)) {
        upward.push(`${specifier.slice(ROOT.href.length)} -> ${target}`);
      }
    }
  }
  assert.ok(seen > 50, `only ${seen} modules found`);
  assert.deepEqual(upward, []);
});

Deno.test("layers: no virtio device imports a transport, no backend virtio", async () => {
  const { modules } = await moduleGraph();
  const transports = /devices\/virtio\/transport\//;
  let seen = 0;
  for (const { specifier, dependencies = [] } of modules) {
    const device =
      /devices\/virtio\/(rng\.ts$|(blk|net|console|balloon|vsock)\/)/.test(
        specifier,
      );
    const backend = /devices\/backends\//.test(
      specifier,
    );
    if (!device && !backend) continue;
    seen++;
    for (const { code, type } of dependencies) {
      const target = (code ?? type)?.specifier ?? "";
      assert.doesNotMatch(target, transports, specifier);
      if (backend) assert.doesNotMatch(target, /devices\/virtio\//, specifier);
    }
  }
  assert.ok(seen >= 5, `only ${seen} modules found`);
});
