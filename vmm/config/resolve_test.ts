/** What a configuration means: defaults, limits, and what must fit together. */
import assert from "node:assert/strict";
import {
  GiB,
  MAX_VIRTIO_DEVICES,
  MiB,
  virtioGsi,
  virtioWindow,
} from "../../guest/layout.ts";
import { DEFAULT_BOOT_ARGS } from "./boot_args.ts";
import { isUnicast, macAddress } from "../devices/mac.ts";
import { type Drive, KINDS } from "../devices/mod.ts";
import { resolve, type ResolvedConfig } from "./resolve.ts";
import type { MachineConfig, VmConfig } from "./types.ts";

/** A file that is there, to stand for kernel and images. */
const HERE = new URL(import.meta.url).pathname;

function resolved(parts: Partial<VmConfig> = {}): ResolvedConfig {
  return resolve({ "boot-source": { kernel_image_path: HERE }, ...parts });
}

const files = new Map<string, string>();

/** A file that is there, another one for each name. */
function fileOf(name: string): string {
  const folder = new URL("../", import.meta.url);
  const sources = [...Deno.readDirSync(folder)].filter(({ isFile }) => isFile);
  const next = new URL(sources[files.size]!.name, folder).pathname;
  files.set(name, files.get(name) ?? next);
  return files.get(name)!;
}

/** What is resolved of each device, in the order of windows. */
function configs(parts: Partial<VmConfig>): unknown[] {
  return resolved(parts).devices.map(({ config }) => config);
}

function machine(machine?: MachineConfig): ResolvedConfig {
  return resolved({ "machine-config": machine });
}

function size(config?: MachineConfig): { cpus: number; memory: number } {
  const { cpus, memory } = machine(config);
  return { cpus, memory };
}

/** `parts` are refused with this one line. */
function refuses(parts: unknown, message: string): void {
  assert.throws(() => resolved(parts as Partial<VmConfig>), {
    name: "VireoError",
    message,
  });
}

Deno.test("resolve: one CPU and 128 MiB unless told otherwise", () => {
  assert.deepEqual(size(), { cpus: 1, memory: 128 * MiB });
  assert.deepEqual(size({}), { cpus: 1, memory: 128 * MiB });
  assert.deepEqual(size({ vcpu_count: 4 }), { cpus: 4, memory: 128 * MiB });
});

Deno.test("resolve: the limits themselves are allowed", () => {
  assert.deepEqual(size({ vcpu_count: 32, mem_size_mib: 2 }), {
    cpus: 32,
    memory: 2 * MiB,
  });
  assert.equal(size({ mem_size_mib: 65536 }).memory, 64 * GiB);
});

Deno.test("resolve: beyond them is one clear line", () => {
  const cpus = (vcpu_count: unknown, text: string) =>
    refuses(
      { "machine-config": { vcpu_count } },
      `machine-config.vcpu_count: ${vcpu_count} is not ${text}`,
    );
  for (const count of [0, 33, -1]) cpus(count, "1 to 32");
  for (const count of [1.5, NaN]) cpus(count, "a whole number");
  const memory = (mem_size_mib: unknown, text: string) =>
    refuses(
      { "machine-config": { mem_size_mib } },
      `machine-config.mem_size_mib: ${mem_size_mib} is not ${text}`,
    );
  for (const mib of [0, 1, 65537, 1024 * 1024, -5]) memory(mib, "2 to 65536");
  for (const mib of [2.5, NaN]) memory(mib, "a whole number");
});

Deno.test("resolve: smt takes an even number of CPUs, or one", () => {
  const threads = (vcpu_count: number, smt: boolean) =>
    machine({ vcpu_count, smt }).threads;
  assert.equal(threads(4, false), 1);
  assert.equal(threads(4, true), 2);
  assert.equal(threads(1, true), 1);
  assert.throws(() => threads(3, true), {
    message: "machine-config.vcpu_count: 3 is neither 1 nor even, " +
      "as smt wants it",
  });
});

/** A drive with a file of its own. */
function drive(id: string, parts: Partial<Drive> = {}): Drive {
  const path_on_host = fileOf(id);
  return { drive_id: id, path_on_host, is_root_device: false, ...parts };
}

Deno.test("resolve: the root device is first, wherever it stands", () => {
  const root = drive("root", { is_root_device: true });
  const [a, b] = [drive("a"), drive("b")];
  const order = (...drives: Drive[]) =>
    configs({ drives }).map((drive) => (drive as Drive).drive_id);
  assert.deepEqual(order(), []);
  assert.deepEqual(order(a, b), ["a", "b"]);
  assert.deepEqual(order(a, root, b), ["root", "a", "b"]);
  refuses(
    { drives: [root, a, drive("other", { is_root_device: true })] },
    "drives[2].is_root_device: drives[0] is the root device already",
  );
});

Deno.test("resolve: the root is vda or a partition, read-only or not", () => {
  const words = (root: Drive, boot_args = "quiet") =>
    resolved({
      "boot-source": { kernel_image_path: HERE, boot_args },
      drives: [root],
    }).commandLine.toString();
  const root = (parts: Partial<Drive>) =>
    drive("root", { is_root_device: true, ...parts });
  assert.equal(words(drive("data")), "quiet");
  assert.equal(words(root({})), "quiet root=/dev/vda rw");
  assert.equal(
    words(root({ is_read_only: true })),
    "quiet root=/dev/vda ro",
  );
  const partuuid = "0eaa91a0-01";
  assert.equal(
    words(root({ partuuid })),
    "quiet root=PARTUUID=0eaa91a0-01 rw",
  );
  assert.equal(words(root({}), "root=/dev/vdb1"), "root=/dev/vdb1");
  assert.equal(
    words(root({}), "quiet -- root=x"),
    "quiet root=/dev/vda rw -- root=x",
  );
});

Deno.test("resolve: huge pages as Firecracker names them, or a file", () => {
  const options = (config?: MachineConfig) => machine(config).memoryOptions;
  const plain = { hugePages: false, hugePagePool: false, file: undefined };
  assert.deepEqual(options({ huge_pages: "None" }), plain);
  assert.deepEqual(options(), { ...plain, hugePages: true });
  assert.deepEqual(options({ huge_pages: "Transparent" }), options());
  assert.equal(options({ huge_pages: "2M" }).hugePagePool, true);
  assert.equal(options({ memory_file: "/a" }).file, "/a");
  refuses(
    { "machine-config": { huge_pages: "1G" } },
    'machine-config.huge_pages: "1G" is not "None" or "Transparent" or "2M"',
  );
  refuses(
    { "machine-config": { huge_pages: "2M", memory_file: "/a" } },
    "machine-config.memory_file: huge pages and a memory file exclude each " +
      "other",
  );
});

Deno.test("resolve: devices are in order of their kinds, each at its window", () => {
  const { devices } = resolved({
    devices: [{ module: import.meta.url }],
    console: { main: true },
    balloon: { amount_mib: 0, deflate_on_oom: false },
    entropy: {},
    vsock: { guest_cid: 3, uds_path: "/s" },
    "network-interfaces": [{ iface_id: "n", host_dev_name: "tap0" }],
    drives: [drive("a"), drive("root", { is_root_device: true })],
  });
  const kinds = devices.map(({ kind }) =>
    Object.entries(KINDS).find(([, one]) => one === kind)?.[0]
  );
  assert.deepEqual(kinds, [
    ...["drives", "drives", "network-interfaces", "vsock", "entropy"],
    ...["balloon", "console", "devices"],
  ]);
  devices.forEach(({ window, gsi }, index) => {
    assert.equal(window, virtioWindow(index));
    assert.equal(gsi, virtioGsi(index));
  });
});

Deno.test("resolve: as many devices as there are interrupts", () => {
  const drives = (count: number) =>
    Array.from({ length: count }, (_, i) => drive(`d${i}`));
  const network = (iface_id: string) => ({ iface_id, host_dev_name: "tap0" });
  resolved();
  resolved({ drives: drives(MAX_VIRTIO_DEVICES) });
  refuses(
    {
      drives: drives(MAX_VIRTIO_DEVICES - 1),
      "network-interfaces": [network("eth0"), network("eth1")],
    },
    `${MAX_VIRTIO_DEVICES + 1} devices: at most ${MAX_VIRTIO_DEVICES} ` +
      "fit on the interrupts",
  );
});

Deno.test("resolve: a balloon is at most the guest's memory", () => {
  const balloon = (
    amount_mib: number,
    stats_polling_interval_s?: number,
    huge_pages?: "2M",
  ) => ({
    "machine-config": { mem_size_mib: 64, huge_pages },
    balloon: { amount_mib, deflate_on_oom: true, stats_polling_interval_s },
  });
  assert.deepEqual(configs(balloon(64)), [{
    amount_mib: 64,
    deflate_on_oom: true,
    stats_polling_interval_s: 0,
    free_page_reporting: false,
    free_page_hinting: false,
  }]);
  const amount = (mib: number, expected: string) =>
    refuses(balloon(mib), `balloon.amount_mib: ${mib} is not ${expected}`);
  amount(-1, "0 to 65536");
  amount(65, "0 to 64, the guest's memory");
  amount(0.5, "a whole number");
  amount(NaN, "a whole number");
  refuses(
    balloon(1, -1),
    "balloon.stats_polling_interval_s: -1 is not 0 to 65535",
  );
  refuses(
    balloon(0, 0, "2M"),
    "balloon: memory from the host's pool of huge pages can't be given " +
      'back; leave out huge_pages "2M", or the balloon',
  );
});

Deno.test("resolve: console ports have names, each its own, and there is room", () => {
  const path = "/nonexistent/socket";
  const ports = (...names: string[]) => ({
    console: { main: true, ports: names.map((name) => ({ name, path })) },
  });
  const name = "is not a name of 1 to 64 bytes without a slash";
  refuses(ports(""), "console.ports[0].name: is empty");
  refuses(ports("a/b"), `console.ports[0].name: "a/b" ${name}`);
  refuses(
    ports("é".repeat(33)),
    `console.ports[0].name: "${"é".repeat(33)}" ${name}`,
  );
  refuses(
    ports("a", "a"),
    'console.ports[1].name: "a" is that of console.ports[0] already',
  );
  const many = Array.from({ length: 14 }, (_, i) => `${i}`);
  refuses(ports(...many), "console.ports: 14 ports; at most 13 fit");
  const console = { ...ports(...many).console, main: false };
  assert.deepEqual(configs({ console }), [console]);
});

Deno.test("resolve: a console has something to do", () => {
  const nothing = "console: neither main nor a port: it has nothing to do";
  refuses({ console: {} }, nothing);
  refuses({ console: { main: false, ports: [] } }, nothing);
});

Deno.test("macAddress: six bytes in hex", () => {
  assert(isUnicast("02:aB:00:ff:7f:01"));
  const mac = macAddress("02:aB:00:ff:7f:01", "tap0");
  assert.deepEqual([...mac], [2, 0xab, 0, 0xff, 0x7f, 1]);
});

Deno.test("macAddress: refuses what is no unicast address", () => {
  for (
    const text of [
      "",
      "02:00:00:00:00",
      "02:00:00:00:00:01:02",
      "02-00-00-00-00-01",
      "2:0:0:0:0:1",
      "0g:00:00:00:00:01",
      "ff:ff:ff:ff:ff:ff",
      "01:00:5e:00:00:01",
      "02:00:00:00:00:01\n",
    ]
  ) {
    assert(!isUnicast(text), text);
    assert.throws(() =>
      resolved({
        "network-interfaces": [
          { iface_id: "n", host_dev_name: "tap0", guest_mac: text },
        ],
      }), { name: "VireoError" });
  }
});

Deno.test("macAddress: made from the name, it is unicast, local and stays", () => {
  const names = Array.from({ length: 200 }, (_, i) => `tap${i}`);
  const addresses = names.map((name) => macAddress(undefined, name));
  for (const mac of addresses) {
    assert.equal(mac.length, 6);
    assert.equal(mac[0]! & 3, 2);
  }
  assert.deepEqual(macAddress(undefined, "tap0"), addresses[0]);
  const different = new Set(addresses.map((mac) => mac.join()));
  assert.equal(different.size, names.length);
});

Deno.test("DEFAULT_BOOT_ARGS: a console, and a way to end the machine", () => {
  assert.match(DEFAULT_BOOT_ARGS, /console=ttyS0/);
  assert.match(DEFAULT_BOOT_ARGS, /reboot=k panic=-1/);
});

Deno.test("resolve: ACPI as the kernel has it, unless told on or off", () => {
  const uses = (machine: MachineConfig, kernel: boolean, boot_args?: string) =>
    resolved({
      "boot-source": { kernel_image_path: HERE, boot_args },
      "machine-config": machine,
    }).acpi ?? kernel;
  for (const kernel of [false, true]) {
    assert.equal(uses({}, kernel), kernel);
    assert.equal(uses({ acpi: "auto" }, kernel), kernel);
    assert.equal(uses({ acpi: "on" }, kernel), true);
    assert.equal(uses({ acpi: "off" }, kernel), false);
  }
  assert.equal(uses({}, true, "quiet acpi=off"), false, "the guest won't");
  assert.equal(uses({ acpi: "on" }, true, "acpi=off"), true, "our user knows");
  assert.equal(uses({}, true, "acpi=offset noacpi=off"), true);
  assert.equal(uses({}, true, 'VIREO_EXEC="echo acpi=off ok"'), true);
  assert.equal(uses({}, true, "quiet -- acpi=off"), true, "that is init's");
  refuses(
    { "machine-config": { acpi: "yes" } },
    'machine-config.acpi: "yes" is not "auto" or "on" or "off"',
  );
});

Deno.test("resolve: polls as long as told, or where there is a core for it", () => {
  assert.equal(machine({ poll_us: 7 }).pollMicroseconds, 7);
  const spare = navigator.hardwareConcurrency > 1;
  assert.equal(machine().pollMicroseconds, spare ? 50 : 0);
  assert.equal(machine({ vcpu_count: 32 }).pollMicroseconds, 0);
});

Deno.test("resolve: one image is not two disks, by whatever path, unless both are read-only", () => {
  const folder = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  try {
    const path = `${folder}/a`;
    Deno.writeFileSync(path, new Uint8Array(512));
    Deno.symlinkSync(path, `${folder}/link`);
    Deno.linkSync(path, `${folder}/hard`);
    for (
      const other of [
        "a",
        "link",
        "hard",
        "../" + folder.split("/").at(-1) + "/a",
      ]
    ) {
      const disks = (...readOnly: boolean[]): VmConfig => ({
        "boot-source": { kernel_image_path: new Uint8Array() },
        drives: [path, `${folder}/${other}`].map((path_on_host, index) => ({
          drive_id: `${index}`,
          path_on_host,
          is_root_device: false,
          is_read_only: readOnly[index],
        })),
      });
      const twice =
        /^drives\[1\]\.path_on_host: "\/.*": is the storage of another disk, "\/.*a"; add ,ro to both to share it$/;
      for (const [a, b] of [[false, false], [true, false], [false, true]]) {
        assert.throws(() => resolve(disks(a!, b!)), { message: twice });
      }
      assert.equal(resolve(disks(true, true)).devices.length, 2);
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
