/** Imports point down: ffi, guest, devices, vmm, then cli, mod.ts and main.ts. */
import assert from "node:assert/strict";
import {
  closure,
  references,
  ROOT,
  UNKNOWN,
} from "./vmm/testing/module_graph.ts";
import type { Kind } from "./vmm/devices/kind.ts";
import { KINDS } from "./vmm/devices/mod.ts";

const MACHINE = ["ffi", "guest", "devices", "vmm"];

/** What each room may import besides itself. */
const MAY_IMPORT: Record<string, string[]> = {
  ffi: [],
  guest: ["ffi"],
  devices: ["ffi", "guest"],
  vmm: ["ffi", "guest", "devices"],
  emulate: ["ffi", "guest"],
  monitor: MACHINE,
  network: MACHINE,
  images: ["ffi", "guest"],
  probe: [...MACHINE, "emulate"],
  cli: [...MACHINE, "images", "monitor", "network", "probe"],
  api: [...MACHINE],
  sandbox: ["ffi", "api"],
  "sandbox/testing": ["ffi", "api/testing", "sandbox"],
  fuzz: [...MACHINE, "api", "monitor", "vmm/testing", "images"],
  "fuzz/api": ["fuzz", ...MACHINE, "vmm/testing", "api", "api/testing"], // as a client
  // Its campaigns boot Linux as the command line does.
  "fuzz/snapshot": ["fuzz", ...MACHINE, "vmm/testing", "images", "cli/testing"],
  // Its tests debug machines of their own.
  "monitor/testing": [...MACHINE, "monitor", "vmm/testing"],
  // Only tests and fuzz boot a machine with what images builds.
  "vmm/testing": [...MACHINE, "images"],
  // And some as the command line does.
  "cli/testing": [
    ...MACHINE,
    "vmm/testing",
    "images",
    "monitor",
    "network",
    "cli",
  ],
  "api/testing": [...MACHINE, "vmm/testing", "images", "api"],
  "mod.ts": [...MACHINE, "images", "network", "probe"],
  "lab.ts": MACHINE,
  "main.ts": [...MACHINE, "cli", "cli/program"],
  "cli/program": [
    ...MACHINE,
    "cli",
    "images",
    "probe",
    "examples",
    "api",
  ],
};

/** What it may load besides: by `import()` or as a URL, never at its start. */
const MAY_LOAD: Record<string, string[]> = {
  vmm: ["emulate", "monitor"],
  // What a kernel has to be told of this host; files of events.
  api: ["cli", "monitor"],
  "vmm/testing": ["main.ts"],
};

const REFERENCES = await references();

function roomOf(path: string): string {
  const [room, inner] = path.split("/") as [string, string | undefined];
  const nested = `${room}/${inner}`;
  return nested in MAY_IMPORT ? nested : room;
}

Deno.test("layers: no module imports or loads from a layer above its own", () => {
  const upward: string[] = [];
  const seen = new Set<string>();
  for (const { from, to, way } of REFERENCES) {
    const room = roomOf(from);
    if (!(room in MAY_IMPORT) || !to.endsWith(".ts")) continue;
    seen.add(from);
    const allowed = [room, ...MAY_IMPORT[room]!];
    const loads = way === "dynamic" || way === "url";
    if (loads) allowed.push(...MAY_LOAD[room] ?? []);
    if (!allowed.includes(roomOf(to))) upward.push(`${from} -> ${to}`);
  }
  assert.ok(seen.size > 200, `only ${seen.size} modules found`);
  assert.deepEqual(upward, []);
});

Deno.test("layers: the machine names in full what it starts or loads by a URL", () => {
  const urls = REFERENCES.filter(({ from, way }) =>
    way === "url" && MACHINE.includes(roomOf(from))
  );
  assert.deepEqual(urls.filter(({ to }) => to === UNKNOWN), []);
  const names = urls.map(({ from, to }) => `${from} -> ${to}`);
  for (const worker of ["vmm/vcpu_worker.ts", "vmm/device_worker.ts"]) {
    assert.ok(
      names.includes(`vmm/worker_thread.ts -> ${worker}`),
      names.join("\n"),
    );
  }
});

Deno.test("layers: only what belongs to tests imports a folder of tests", () => {
  const ofTests = ["testing", "fuzz", "fuzz/api", "fuzz/snapshot", "bench"];
  const imported = REFERENCES.filter(({ from, to }) =>
    to.includes("testing/") && !from.includes("testing/") &&
    !ofTests.includes(roomOf(from))
  );
  assert.deepEqual(imported, []);
});

Deno.test("layers: a vCPU's worker has emulate only where the host needs it", () => {
  const modules = closure("vmm/vcpu_worker.ts", REFERENCES);
  assert.ok(modules.has("vmm/vcpu_loop.ts"));
  const reached = [...modules].filter((path) => roomOf(path) === "emulate");
  assert.deepEqual(reached, []);
  // import() of a literal would be read and parsed with the worker.
  const ways = REFERENCES.filter(({ from, to }) =>
    roomOf(to) === "emulate" && roomOf(from) === "vmm"
  );
  assert.deepEqual(ways, [
    { from: "vmm/refused.ts", to: "emulate/mod.ts", way: "url" },
  ]);
});

Deno.test("layers: the device worker has makers only of the kinds that a machine has", () => {
  const modules = closure("vmm/device_worker.ts", REFERENCES);
  assert.ok(modules.has("devices/virtio/transport/activated_device.ts"));
  const options = /^vmm\/(config|devices)\//;
  assert.deepEqual([...modules].filter((path) => options.test(path)), []);
  for (const [key, kind] of Object.entries<Kind>(KINDS)) {
    const maker = kind.make.href.slice(ROOT.href.length);
    // Named once, by its kind: nothing loads it before a machine has one.
    const ways = REFERENCES.filter(({ to, way }) =>
      to === maker && way !== "type"
    );
    assert.deepEqual(ways.map(({ way }) => way), ["url"], key);
    assert.match(ways[0]!.from, /^vmm\/devices\/\w+\.ts$/);
    // And what it loads knows nothing of configurations.
    const above = [...closure(maker, REFERENCES)].filter((path) =>
      roomOf(path) === "vmm"
    );
    assert.deepEqual(above, [], key);
  }
});

Deno.test("layers: no virtio device imports a transport, no backend virtio", () => {
  const transports = /^devices\/virtio\/transport\//;
  const devices = /^devices\/virtio\/(?!transport\/|testing\/)/;
  const seen = new Set<string>();
  for (const { from, to } of REFERENCES) {
    const backend = from.startsWith("devices/backends/");
    if (!devices.test(from) && !backend) continue;
    seen.add(from);
    assert.doesNotMatch(to, transports, from);
    if (backend) assert.doesNotMatch(to, /^devices\/virtio\//, from);
  }
  assert.ok(seen.size >= 20, `only ${seen.size} modules found`);
});

Deno.test("layers: a machine's start has nothing of Node's and no parser, which take 10 to 30 ms", () => {
  const starts = [
    ...["main.ts", "cli/boot.ts", "cli/run.ts", "cli/instant/instant.ts"],
    ...["cli/snapshot/restore.ts", "cli/machines/exec.ts", "mod.ts"],
    ...["vmm/snapshot/mod.ts", "vmm/vcpu_worker.ts", "vmm/device_worker.ts"],
  ];
  const heavy = /^import (?!type )[^;]*? from "(node:.*|commander)"/gm;
  const found = starts.flatMap((start) => {
    const modules = [...closure(start, REFERENCES)];
    assert.ok(modules.length > 5, `${start}: ${modules}`);
    return modules.filter((path) => path.endsWith(".ts")).flatMap((path) => {
      const text = Deno.readTextFileSync(new URL(path, ROOT));
      return (text.match(heavy) ?? []).map((line) =>
        `${start}: ${path}: ${line}`
      );
    });
  });
  assert.deepEqual(found, []);
});
