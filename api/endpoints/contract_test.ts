/** What is said of requests that are wrong: status and text, word for word. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { HI } from "../../vmm/testing/tiny_guest.ts";
import type { Method } from "../http/parser.ts";
import { TestFolder } from "../testing/guest.ts";
import { TestApi } from "../testing/test_api.ts";
import { TABLE } from "./table.ts";

const D = "An error occurred when deserializing the json body of a request: ";
const BEFORE =
  "The requested operation is not supported before starting the microVM.";
const ID =
  "API Resource IDs can only contain alphanumeric characters and underscores.";
const ENOENT = "No such file or directory (os error 2)";
const VCPUS =
  "Machine config error: The number of vCPUs must be greater than " +
  "0, less than 32 and must be 1 or an even number if SMT is enabled.";
const MEMORY = "Machine config error: The memory size (MiB) is either 0, or " +
  "not a multiple of the configured page size.";
const MACHINE_KEYS = "`vcpu_count`, `mem_size_mib`, `smt`, `cpu_template`, " +
  "`track_dirty_pages`, `huge_pages`";

/** Of a machine that hasn't started: what is asked, and what is said. */
const ROWS: readonly [Method, string, unknown, string][] = [
  // Paths and bodies, whatever the endpoint.
  ["GET", "/nope", , "Invalid request method and/or path: GET nope."],
  ["PUT", "/nope", {}, "Invalid request method and/or path: PUT nope."],
  ["DELETE", "/nope", , "Invalid request method and/or path: DELETE nope."],
  ["GET", "/version?x", , "Invalid request method and/or path: GET version?x."],
  [
    "PATCH",
    "/version",
    {},
    "Invalid request method and/or path: PATCH version.",
  ],
  ["GET", "/vm", , "Invalid request method and/or path: GET vm."],
  ["GET", "/", {}, "GET request cannot have a body."],
  ["GET", "/nope", {}, "GET request cannot have a body."],
  ["PUT", "/nope", , "Empty PUT request."],
  ["PUT", "/machine-config", , "Empty PUT request."],
  ["PATCH", "/machine-config", , "Empty PATCH request."],
  ["PATCH", "/machine-config", {}, "Empty PATCH request."],
  ["DELETE", "/drives/a", {}, "Empty Delete request."],
  ["GET", "/balloon/foo", , "Unrecognized GET request path `foo`."],

  // JSON that is none, or of another shape.
  [
    ...["PUT", "/machine-config", '{"vcpu_count":'] as const,
    `${D}EOF while parsing a value at line 1 column 14.`,
  ],
  [
    ...[
      "PUT",
      "/machine-config",
      '{"vcpu_count":1,"mem_size_mib":2} x',
    ] as const,
    `${D}trailing characters at line 1 column 35.`,
  ],
  [
    ...["PUT", "/machine-config", '{"vcpu_count":1,"foo":1}'] as const,
    `${D}unknown field \`foo\`, expected one of ${MACHINE_KEYS} at line 1 column 21.`,
  ],
  [
    ...["PUT", "/machine-config", '{"vcpu_count":1}'] as const,
    `${D}missing field \`mem_size_mib\` at line 1 column 16.`,
  ],
  [
    ...[
      "PUT",
      "/machine-config",
      '{"vcpu_count":256,"mem_size_mib":1}',
    ] as const,
    `${D}invalid value: integer \`256\`, expected u8 at line 1 column 17.`,
  ],
  [
    ...["PUT", "/machine-config", '{"vcpu_count":1,"vcpu_count":1}'] as const,
    `${D}duplicate field \`vcpu_count\` at line 1 column 28.`,
  ],
  [
    ...["PUT", "/machine-config", '{"vcpu_count":"1"}'] as const,
    `${D}invalid type: string "1", expected u8 at line 1 column 17.`,
  ],
  [
    ...["PUT", "/machine-config", '{"vcpu_count":1.5}'] as const,
    `${D}invalid type: floating point \`1.5\`, expected u8 at line 1 column 17.`,
  ],
  [
    "PUT",
    "/machine-config",
    '{"vcpu_count":1,"mem_size_mib":2,\n"smt":null}',
    `${D}invalid type: null, expected a boolean at line 2 column 10.`,
  ],
  [
    ...["PUT", "/machine-config", "[2,256,false]"] as const,
    `${D}invalid length 3, expected struct MachineConfig with 6 elements at line 1 column 13.`,
  ],
  [
    ...["PUT", "/machine-config", '"x"'] as const,
    `${D}invalid type: string "x", expected struct MachineConfig at line 1 column 3.`,
  ],
  [
    ...["PUT", "/machine-config", '{"ht_enabled":true}'] as const,
    `${D}unknown field \`ht_enabled\`, expected one of ${MACHINE_KEYS} at line 1 column 13.`,
  ],
  [
    ...["PUT", "/machine-config", "{,}"] as const,
    `${D}key must be a string at line 1 column 2.`,
  ],
  [
    ...["PUT", "/actions", '{"action_type":"Foo"}'] as const,
    `${D}unknown variant \`Foo\`, expected one of \`FlushMetrics\`, ` +
    "`InstanceStart`, `SendCtrlAltDel` at line 1 column 20.",
  ],
  [
    ...["PUT", "/actions", "{}"] as const,
    `${D}missing field \`action_type\` at line 1 column 2.`,
  ],

  // The machine.
  ...([0, 33] as const).map((count): [Method, string, unknown, string] => [
    "PUT",
    "/machine-config",
    { vcpu_count: count, mem_size_mib: 128 },
    VCPUS,
  ]),
  [
    "PUT",
    "/machine-config",
    { vcpu_count: 3, mem_size_mib: 128, smt: true },
    VCPUS,
  ],
  ["PUT", "/machine-config", { vcpu_count: 1, mem_size_mib: 0 }, MEMORY],
  ["PATCH", "/machine-config", { mem_size_mib: 0 }, MEMORY],
  [
    "PUT",
    "/machine-config",
    { vcpu_count: 1, mem_size_mib: 3, huge_pages: "2M" },
    MEMORY,
  ],
  [
    "PUT",
    "/machine-config",
    { vcpu_count: 1, mem_size_mib: 2, cpu_template: "T2" },
    "Machine config error: CPU templates are not supported by Vireo: T2",
  ],
  [
    "PUT",
    "/boot-source",
    { kernel_image_path: "/nonexist" },
    `Boot source error: The kernel file cannot be opened: ${ENOENT}`,
  ],
  [
    "PUT",
    "/boot-source",
    { kernel_image_path: "/dev/null", initrd_path: "/nonexist" },
    "Boot source error: The initrd file cannot be opened due to invalid path " +
    `or invalid permissions. ${ENOENT}`,
  ],
  ["PUT", "/actions", { action_type: "FlushMetrics" }, BEFORE],
  ["PUT", "/actions", { action_type: "SendCtrlAltDel" }, BEFORE],
  [
    "PUT",
    "/actions",
    { action_type: "InstanceStart" },
    "Start microvm error: Cannot start microvm without kernel configuration.",
  ],
  ["PATCH", "/vm", { state: "Paused" }, BEFORE],

  // Devices.
  ["PUT", "/drives/a-b", drive("a-b"), ID],
  ["PUT", "/drives", drive("a"), "The ID cannot be empty."],
  [
    "PUT",
    "/drives/a",
    drive("b"),
    "The id from the path does not match the id from the body!",
  ],
  [
    "PUT",
    "/drives/a",
    drive("a", "/nonexist"),
    "Drive config error: Unable to create the virtio block device: Virtio " +
    `backend error: Error manipulating the backing file: ${ENOENT} /nonexist`,
  ],
  [
    "PUT",
    "/drives/a",
    { drive_id: "a", is_root_device: false, socket: "/s" },
    "Drive config error: vhost-user is not supported by Vireo: socket",
  ],
  ["PATCH", "/drives/a", { drive_id: "a" }, BEFORE],
  ["DELETE", "/drives/a", , BEFORE],
  ["PUT", "/network-interfaces/a-b", network("a-b"), ID],
  ["PUT", "/network-interfaces", network("a"), "The ID cannot be empty."],
  [
    "PUT",
    "/network-interfaces/a",
    network("b"),
    "The id from the path [a] does not match the id from the body [b]!",
  ],
  [
    "PUT",
    "/network-interfaces/a",
    { ...network("a"), mtu: 1400 },
    "Network config error: Could not create the network device: Open tap " +
    "device failed: Error while creating ifreq structure: No such device " +
    "(os error 19). Invalid TUN/TAP Backend provided by vireo-none. Check " +
    "our documentation on setting up the network devices.",
  ],
  [
    "PUT",
    "/network-interfaces/a",
    { ...network("a"), mtu: 67 },
    "Network config error: network-interfaces.mtu 67 is not 68 to 65535",
  ],
  ["PATCH", "/network-interfaces/a", { iface_id: "a" }, BEFORE],
  ["DELETE", "/network-interfaces/a", , BEFORE],
  [
    "PUT",
    "/vsock",
    '{"guest_cid":3}',
    `${D}missing field \`uds_path\` at line 1 column 15.`,
  ],
  [
    ...["PUT", "/entropy", '{"x":1}'] as const,
    `${D}unknown field \`x\`, expected \`rate_limiter\` at line 1 column 4.`,
  ],
  [
    "PUT",
    "/serial",
    { rate_limiter: { size: 1, refill_time: 1 } },
    "Serial config error: rate_limiter is not supported by Vireo: the guest " +
    "waits for who reads slowly",
  ],

  // The balloon.
  [
    "PUT",
    "/balloon",
    { amount_mib: 129, deflate_on_oom: true },
    "Balloon config error: Amount of pages requested is too large.",
  ],
  ["GET", "/balloon", , "Balloon config error: No balloon device found."],
  ["GET", "/balloon/statistics", , BEFORE],
  ["PATCH", "/balloon", { amount_mib: 1 }, BEFORE],
  ["PATCH", "/balloon/statistics", { stats_polling_interval_s: 1 }, BEFORE],
  ["PATCH", "/balloon/hinting/start", , BEFORE],
  ["PATCH", "/balloon/hinting/stop", , BEFORE],
  ["GET", "/balloon/hinting/status", , BEFORE],

  // Outputs.
  [
    ...["PUT", "/logger", '{"level":"Loud"}'] as const,
    `${D}unknown variant \`Loud\`, expected one of \`Off\`, \`Error\`, ` +
    "`Warn`, `Info`, `Debug`, `Trace` at line 1 column 15.",
  ],
  [
    "PUT",
    "/metrics",
    { metrics_path: "/no/metrics" },
    "Metrics error: Cannot initialize the metrics system due to bad user " +
    `input: ${ENOENT}`,
  ],

  // Snapshots.
  [
    "PUT",
    "/snapshot/load",
    { snapshot_path: "/none" },
    `${D}missing field: either \`mem_backend\` or \`mem_file_path\` is required.`,
  ],

  // What there is not.
  ["PUT", "/pmem/a", {}, "Pmem config error: pmem: not supported by Vireo"],
  [
    "PUT",
    "/hotplug/memory",
    {},
    "Memory hotplug config error: Memory hotplug: not supported by Vireo",
  ],
  ["PATCH", "/hotplug/memory", {}, BEFORE],
  ["GET", "/hotplug/memory", , BEFORE],
];

function drive(drive_id: string, path_on_host = "/dev/null") {
  return { drive_id, path_on_host, is_root_device: true };
}

function network(iface_id: string) {
  return { iface_id, host_dev_name: "vireo-none" };
}

Deno.test("API: what is wrong before the start, word for word", async () => {
  await using test = new TestApi();
  const before = JSON.stringify(await test.good("GET", "/vm/config"));
  for (const [method, uri, body, text] of ROWS) {
    assert.equal(await test.bad(method, uri, body), text, `${method} ${uri}`);
  }
  assert.equal(JSON.stringify(await test.good("GET", "/vm/config")), before);
});

Deno.test(needing([KVM], {
  name: "API: a second root, and more memory than there is, word for word",
  async fn() {
    using folder = new TestFolder();
    await using test = new TestApi();
    const root = (id: string) => drive(id, folder.file(id));
    await test.good("PUT", "/drives/a", root("a"));
    assert.equal(
      await test.bad("PUT", "/drives/b", root("b")),
      "Drive config error: A root block device already exists!",
    );
    const machine = { vcpu_count: 1, mem_size_mib: 2 ** 40 };
    await test.good("PUT", "/machine-config", machine);
    const source = { kernel_image_path: folder.file("kernel", HI) };
    await test.good("PUT", "/boot-source", source);
    assert.equal(
      await test.bad("PUT", "/actions", { action_type: "InstanceStart" }),
      "Start microvm error: Invalid Memory Configuration: Cannot create mmap " +
        "region: Cannot allocate memory (os error 12)",
    );
    const { state } = await test.good("GET", "/") as { state: string };
    assert.equal(state, "Not started");
  },
}));

Deno.test("API: paths that lead to the same", async () => {
  await using test = new TestApi();
  const version = await test.good("GET", "/version");
  for (const uri of ["//version/", "/version/x", "http://localhost/version"]) {
    assert.deepEqual(await test.good("GET", uri), version);
  }
  const root = await test.good("GET", "/");
  for (const uri of ["*", "version", "http://localhost/", "//"]) {
    assert.deepEqual(await test.good("GET", uri), root);
  }
});

Deno.test("API: its description has every endpoint, and a schema of every body", async () => {
  await using test = new TestApi();
  const description = await test.good("GET", "/openapi.json") as {
    paths: Record<string, Record<string, Record<string, unknown>>>;
  };
  const operations = Object.entries(description.paths).flatMap(
    ([path, methods]) =>
      Object.entries(methods).map(([method, row]) => ({ path, method, row })),
  );
  assert.equal(operations.length, TABLE.length, "no two rows are the same");
  const ids = operations.map(({ row }) => row["operationId"]);
  assert.equal(new Set(ids).size, ids.length);
  for (const { path, method, row } of operations) {
    const wanted = method === "put" || method === "patch";
    const stop = path.endsWith("/stop");
    assert.equal("requestBody" in row, wanted && !stop, `${method} ${path}`);
    assert.match(row["summary"] as string, /^\w.*\.$/);
    assert.ok("400" in (row["responses"] as object));
  }
  const vireo = await test.good("GET", "/vireo/version") as object;
  assert.deepEqual(Object.keys(vireo), ["vireo", "deno", "firecracker"]);
});
