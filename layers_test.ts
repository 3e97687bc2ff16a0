/** Imports point down: ffi, guest, devices, vmm, then cli, mod.ts and main.ts. */
import assert from "node:assert/strict";

const ROOT = new URL("./", import.meta.url);

const MACHINE = ["ffi", "guest", "devices", "vmm"];

/** What each room may import besides itself. */
const MAY_IMPORT: Record<string, string[]> = {
  ffi: [],
  guest: ["ffi"],
  devices: ["ffi", "guest"],
  vmm: ["ffi", "guest", "devices"],
  emulate: ["ffi", "guest"],
  images: ["ffi", "guest"],
  probe: [...MACHINE, "emulate"],
  cli: [...MACHINE, "emulate", "images", "probe"],
  fuzz: [...MACHINE, "vmm/testing", "images"],
  // Only tests and fuzz boot a machine with what images builds.
  "vmm/testing": [...MACHINE, "images"],
};

/** Goes with the next steps: each must still be there, and no other may be. */
const UNTIL_MOVED: string[] = [
  // What the host's KVM refuses is to be loaded by dynamic import, only there.
  "vmm/machine.ts -> emulate/instruction_emulation.ts",
  "vmm/messages.ts -> emulate/instruction_emulation.ts",
  "vmm/vcpu_loop.ts -> emulate/instruction_emulation.ts",
  "vmm/vcpu_loop.ts -> emulate/syscall_completion.ts",
  "vmm/vcpu_worker.ts -> emulate/instruction_emulation.ts",
  "vmm/vcpu_worker.ts -> emulate/syscall_completion.ts",
  // What is known of the host is kept where images keeps what it builds.
  "probe/known_host.ts -> images/linux/cache.ts",
];

interface ModuleGraph {
  modules: { specifier: string; dependencies?: Dependency[] }[];
}

interface Dependency {
  code?: { specifier: string };
  type?: { specifier: string };
}

function folderOf(specifier: string): string | undefined {
  if (!specifier.startsWith(ROOT.href)) return undefined;
  const path = specifier.slice(ROOT.href.length);
  if (path.startsWith("vmm/testing/")) return "vmm/testing";
  const [folder, rest] = path.split(/\/(.*)/s);
  return rest === undefined ? "" : folder;
}

async function moduleGraph(): Promise<ModuleGraph> {
  const entries = ["mod.ts", "main.ts", "vmm/vcpu_worker.ts"];
  entries.push("vmm/device_worker.ts", "devices/virtio/testing/mod.ts");
  entries.push("fuzz/virtio/main.ts", "fuzz/virtio/child.ts");
  entries.push("fuzz/storm/main.ts");
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
        const path = (href: string) => href.slice(ROOT.href.length);
        upward.push(`${path(specifier)} -> ${path(target)}`);
      }
    }
  }
  assert.ok(seen > 50, `only ${seen} modules found`);
  assert.deepEqual(upward.sort(), [...UNTIL_MOVED].sort());
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
