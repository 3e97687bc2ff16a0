/** Configuration files: what is taken, and what is said of the rest. */
import assert from "node:assert/strict";
import type { VmConfig } from "./types.ts";
import { parseConfig, readConfigFile } from "./file.ts";
import { CONFIG } from "./keys.ts";
import { report } from "./schema/report.ts";
import type { Finding, KeyTable } from "./schema/rule.ts";
import { Machine } from "../machine.ts";
import { ScratchFile } from "../testing/mod.ts";

/** A file that is there, to stand for kernel and images. */
const HERE = new URL(import.meta.url).pathname;
const OTHER = new URL("file.ts", import.meta.url).pathname;

type Json = Record<string, unknown>;

const boot = { kernel_image_path: HERE };
const drive = { drive_id: "d", path_on_host: HERE, is_root_device: false };
const network = { iface_id: "n", host_dev_name: "tap0" };

function parse(file: Json): VmConfig {
  return parseConfig(JSON.stringify({ "boot-source": boot, ...file }), "vm");
}

/** The messages, without the file's name. */
function problems(file: Json): string[] {
  try {
    parse(file);
    return [];
  } catch (error) {
    assert.equal((error as Error).name, "VireoError");
    return (error as Error).message.split("\n").map((line) => {
      assert.ok(line.startsWith("vm: "), line);
      return line.slice("vm: ".length);
    });
  }
}

const machine = (config: Json) => ({ "machine-config": config });
const oneDrive = (change: Json) => ({ drives: [{ ...drive, ...change }] });
const oneNetwork = (change: Json) => ({
  "network-interfaces": [{ ...network, ...change }],
});

/** What is wrong, and the one line that says so. */
const MALFORMED: [Json, string][] = [
  [{ "boot-source": {} }, "boot-source.kernel_image_path: is missing"],
  [
    { "boot-source": { ...boot, initrd_path: "/none" } },
    'boot-source.initrd_path: no such file "/none"',
  ],
  [
    { "boot-source": { ...boot, boot_args: ["quiet"] } },
    "boot-source.boot_args: a list is not a string",
  ],
  [{ "boot-source": null }, "boot-source: is missing"],
  [machine({ vcpu_count: 33 }), "machine-config.vcpu_count: 33 is not 1 to 32"],
  [
    machine({ vcpu_count: "2" }),
    'machine-config.vcpu_count: "2" is not a number',
  ],
  [
    machine({ vcpu_count: 3, smt: true }),
    "machine-config.vcpu_count: 3 is neither 1 nor even, as smt wants it",
  ],
  [
    machine({ mem_size_mib: 1.5 }),
    "machine-config.mem_size_mib: 1.5 is not a whole number",
  ],
  [
    machine({ mem_size_mb: 128 }),
    'machine-config.mem_size_mb: unknown key; did you mean "mem_size_mib"?',
  ],
  [machine({ smt: 1 }), "machine-config.smt: 1 is not true or false"],
  [
    machine({ track_dirty_pages: true }),
    "machine-config.track_dirty_pages: not supported yet",
  ],
  [
    machine({ cpu_template: "T2" }),
    "machine-config.cpu_template: not supported yet",
  ],
  [{ "machine-config": [] }, "machine-config: a list is not an object"],
  [
    { machine_config: {} },
    'machine_config: unknown key; did you mean "machine-config"?',
  ],
  [{ drives: {} }, "drives: an object is not a list"],
  [{ drives: [null] }, "drives[0]: null is not an object"],
  [
    oneDrive({ path_on_host: "x.img" }),
    'drives[0].path_on_host: no such file "x.img"',
  ],
  [oneDrive({ drive_id: "" }), "drives[0].drive_id: is empty"],
  [
    oneDrive({ is_root_device: undefined }),
    "drives[0].is_root_device: is missing",
  ],
  [
    oneDrive({ cache_type: "writeback" }),
    'drives[0].cache_type: "writeback" is not "Writeback" or "Unsafe"; ' +
    'did you mean "Writeback"?',
  ],
  [
    oneDrive({ io_engine: "epoll" }),
    'drives[0].io_engine: "epoll" is not "Auto" or "Async" or "Sync"',
  ],
  [oneDrive({ socket: "/run/x" }), "drives[0].socket: not supported yet"],
  [
    oneDrive({ rate_limiter: { ops: { size: 1 } } }),
    "drives[0].rate_limiter.ops.refill_time: is missing",
  ],
  [
    { drives: [drive, { ...drive, path_on_host: OTHER }] },
    'drives[1].drive_id: "d" is that of drives[0] already',
  ],
  [
    {
      drives: [
        { ...drive, is_root_device: true },
        drive,
        { ...drive, is_root_device: true },
      ].map((drive, i) => ({ ...drive, drive_id: `${i}`, is_read_only: true })),
    },
    "drives[2].is_root_device: drives[0] is the root device already",
  ],
  [
    oneNetwork({ guest_mac: "01:00:00:00:00:00" }),
    'network-interfaces[0].guest_mac: "01:00:00:00:00:00" is not a unicast ' +
    "address like 02:00:00:00:00:01",
  ],
  [
    oneNetwork({ host_dev_name: null }),
    "network-interfaces[0]: exactly one of host_dev_name, passt, socket, " +
    "plug and handler must say where its frames go",
  ],
  [
    oneNetwork({ passt: true }),
    "network-interfaces[0]: exactly one of host_dev_name, passt, socket, " +
    "plug and handler must say where its frames go",
  ],
  [
    oneNetwork({ host_dev_name: null, passt: true, netns: "n" }),
    "network-interfaces[0]: netns is for a TAP",
  ],
  [
    oneNetwork({ host_dev_name: null, socket: "/s", queues: 2 }),
    "network-interfaces[0]: several queues are for a TAP",
  ],
  [
    oneNetwork({ rx_rate_limiter: { bandwidth: { refill_time: 1 } } }),
    "network-interfaces[0].rx_rate_limiter.bandwidth.size: is missing",
  ],
  [
    oneNetwork({ tx_rate_limiter: { ops: { size: -1, refill_time: 1 } } }),
    "network-interfaces[0].tx_rate_limiter.ops.size: -1 is not 0 or more",
  ],
  [
    oneNetwork({ tx_rate_limiter: { op: { size: 1, refill_time: 1 } } }),
    "network-interfaces[0].tx_rate_limiter.op: unknown key; did you mean " +
    '"ops"?',
  ],
  [oneNetwork({ mtu: 67 }), "network-interfaces[0].mtu: 67 is not 68 to 65535"],
  [
    { "cpu-config": { msr_modifiers: [{ addr: "0x1", bitmap: "0b2" }] } },
    'cpu-config.msr_modifiers[0].bitmap: "0b2" is not 0b and at most 64 of 0, 1 and x',
  ],
  [
    { "cpu-config": { kvm_capabilities: ["all"] } },
    'cpu-config.kvm_capabilities[0]: "all" is not a number, perhaps with !',
  ],
  [{ "mmds-config": {} }, "mmds-config: not supported yet"],
  [
    { devices: [{ module: "none.ts" }] },
    'devices[0].module: no such file "none.ts"',
  ],
  [
    { zzzzzz: 1 },
    `zzzzzz: unknown key; there is ${Object.keys(CONFIG.keys!).join(", ")}`,
  ],
];

Deno.test("configuration file: each mistake gets a line that names its key", () => {
  for (const [file, message] of MALFORMED) {
    assert.deepEqual(problems(file), [message]);
  }
});

Deno.test("Machine.create: a program's mistakes get the same lines", async () => {
  const more: [Json, string][] = [
    [
      machine({ transport: "pcie" }),
      'machine-config.transport: "pcie" is not "mmio" or "pci"; did you mean ' +
      '"pci"?',
    ],
    [
      oneDrive({ rate_limiter: { ops: { size: 1.5, refill_time: 1 } } }),
      "drives[0].rate_limiter.ops.size: 1.5 is not a whole number",
    ],
    [
      machine({ huge_pages: "2M", memory_file: "/a" }),
      "machine-config.memory_file: huge pages and a memory file exclude each " +
      "other",
    ],
    [
      { vsock: { guest_cid: 2, uds_path: "/s" } },
      "vsock.guest_cid: 2 is not 3 to 4294967294",
    ],
    [
      { balloon: { amount_mib: 129, deflate_on_oom: false } },
      "balloon.amount_mib: 129 is not 0 to 128, the guest's memory",
    ],
    [
      { console: { ports: [{ name: "a/b", path: "/s" }] } },
      'console.ports[0].name: "a/b" is not a name of 1 to 64 bytes without ' +
      "a slash",
    ],
  ];
  for (const [file, message] of [...MALFORMED, ...more]) {
    assert.deepEqual(problems(file), [message]);
    const config = { "boot-source": boot, ...file } as unknown as VmConfig;
    await assert.rejects(Machine.create(config), {
      name: "VireoError",
      message,
    });
  }
});

Deno.test("Machine.create: what is no configuration at all gets a line", async () => {
  for (const [value, shown] of [[[], "a list"], ["x", '"x"'], [1n, "1"]]) {
    await assert.rejects(Machine.create(value as unknown as VmConfig), {
      name: "VireoError",
      message: `${shown} is not an object`,
    });
  }
});

Deno.test("configuration file: all mistakes are told at once", () => {
  const file = { ...machine({ vcpu_count: 0 }), drives: [{}], logger: {} };
  assert.deepEqual(problems(file), [
    "machine-config.vcpu_count: 0 is not 1 to 32",
    "drives[0].drive_id: is missing",
    "drives[0].path_on_host: is missing",
    "drives[0].is_root_device: is missing",
    "logger: not supported yet",
  ]);
});

Deno.test("configuration file: bad JSON has a line and a column", () => {
  const message = 'vm:2:1: a key in double quotes is expected, not "x"';
  assert.throws(() => parseConfig("{\nx", "vm"), { message });
  const text = "vm: a list is not an object";
  assert.throws(() => parseConfig("[]", "vm"), { message: text });
});

Deno.test("configuration file: a file that can't be read gets one line", async () => {
  await assert.rejects(readConfigFile("/none"), {
    name: "VireoError",
    message: 'configuration "/none": no such file',
  });
  await assert.rejects(
    readConfigFile("/"),
    /^VireoError: configuration "\/": /,
  );
});

Deno.test("configuration file: null, and what asks for nothing, is no key", () => {
  assert.deepEqual(
    parse({
      "boot-source": { ...boot, initrd_path: null },
      ...machine({ cpu_template: "None", track_dirty_pages: false }),
      drives: [{ ...drive, rate_limiter: null, socket: null, partuuid: null }],
      pmem: [],
      "mmds-config": null,
    }),
    { "boot-source": boot, "machine-config": {}, drives: [drive] },
  );
});

Deno.test("configuration file: limits of disks and networks are taken as they are", () => {
  const limits = {
    bandwidth: { size: 1_000_000, one_time_burst: 5, refill_time: 100 },
    ops: { size: 0, refill_time: 0 },
  };
  const config = parse({
    ...oneDrive({ rate_limiter: limits }),
    "network-interfaces": [
      { ...network, rx_rate_limiter: limits, tx_rate_limiter: {} },
      { ...network, iface_id: "b", tx_rate_limiter: null },
    ],
  });
  assert.deepEqual(config.drives?.[0]?.rate_limiter, limits);
  const [first, second] = config["network-interfaces"]!;
  assert.deepEqual(first!.rx_rate_limiter, limits);
  assert.deepEqual(first!.tx_rate_limiter, {});
  assert.deepEqual(second, { ...network, iface_id: "b" });
});

Deno.test("configuration file: Vireo's own keys are taken", () => {
  const { href } = new URL("../../examples/rng.ts", import.meta.url);
  const { pathname } = new URL(href);
  const config = parse({
    ...machine({ poll_us: 0 }),
    ...oneDrive({ direct: true }),
    ...oneNetwork({ netns: "blue" }),
    devices: [{ module: pathname, options: { a: [1] } }, { module: href }],
  });
  assert.equal(config["machine-config"]?.poll_us, 0);
  assert.equal(config.drives?.[0]?.direct, true);
  assert.equal(config["network-interfaces"]?.[0]?.netns, "blue");
  assert.deepEqual(config.devices, [
    { module: href, options: { a: [1] } },
    { module: href },
  ]);
});

Deno.test("configuration file: a path is relative to the working directory", async () => {
  using scratch = new ScratchFile(0);
  const kernel = { kernel_image_path: "main.ts" };
  Deno.writeTextFileSync(
    scratch.path,
    JSON.stringify({ "boot-source": kernel }),
  );
  const before = Deno.cwd();
  Deno.chdir(new URL("../..", import.meta.url));
  try {
    const config = await readConfigFile(scratch.path);
    assert.deepEqual(config["boot-source"], kernel);
  } finally {
    Deno.chdir(before);
  }
});

Deno.test("configuration file: a key that isn't honoured never is let through", () => {
  // A row that is not honoured gives no value, whatever it is given.
  const walk = (keys: KeyTable, at: string) => {
    for (const [name, { rule, status }] of Object.entries(keys)) {
      if (rule.keys) walk(rule.keys, `${at}.${name}`);
      if (status !== "not yet") continue;
      for (const value of [1, "x", true, {}, { a: 1 }, [1]]) {
        const findings: Finding[] = [];
        assert.equal(rule.read(value, name, findings), undefined);
        assert.deepEqual(
          findings,
          [{ path: name, code: "not supported", value }],
          `${at}.${name}`,
        );
        assert.equal(report(findings), `${name}: not supported yet`);
      }
    }
  };
  walk(CONFIG.keys!, "");
});
