/** Vireo's own requests: what they do, and when they are refused. */
import assert from "node:assert/strict";
import { exists } from "../../ffi/file.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { strict } from "../endpoints/own.ts";
import { TABLE } from "../endpoints/table.ts";
import { ApiProcess } from "../testing/process.ts";
import type { Client } from "../testing/client.ts";
import { TestApi } from "../testing/test_api.ts";
import { COUNTS, ECHOES } from "../../vmm/testing/tiny_guest.ts";
import { startGuest, TestFolder } from "../testing/guest.ts";

const PAYLOAD =
  new URL("../../images/payload/payload.elf", import.meta.url).pathname;
const NOT_ALLOWED = (what: string) =>
  `Vireo error: ${what}: only where the process was started with ` +
  "--allow-modules";
const BEFORE =
  "The requested operation is not supported before starting the microVM.";
const D = "An error occurred when deserializing the json body of a request: ";
const RULE = { on: "write", effect: "error", errno: "EIO" };

async function echoes(test: TestApi, text: string): Promise<void> {
  test.api.vm.machine.input(new TextEncoder().encode(text));
  await until(() => test.output.includes(text), text, () => test.output);
}

Deno.test("API's own: strict has none of it, and the rest is as it was", async () => {
  await using test = new TestApi({ table: strict(TABLE) });
  for (const { method, segment, rest } of TABLE) {
    if (segment !== "vireo") continue;
    assert.equal(
      await test.bad(
        method,
        `/vireo/${(rest as string[])[0]}`,
        method === "PUT" ? {} : undefined,
      ),
      `Invalid request method and/or path: ${method} vireo.`,
    );
  }
  const { paths } = await test.good("GET", "/openapi.json") as {
    paths: object;
  };
  assert.deepEqual(
    Object.keys(paths).filter((path) => path.includes("vireo")),
    [],
  );
  assert.ok("/machine-config" in paths);
});

Deno.test("API's own: code, commands and faults are for a process that was started for them; the rest says what is wrong", async () => {
  await using test = new TestApi();
  const module = "data:text/javascript,";
  for (
    const [key, body] of [
      ["module", { devices: [{ module }] }],
      ["handler", {
        "network-interfaces": [{ iface_id: "a", handler: module }],
      }],
      ["backend", { drives: [{ drive_id: "a", backend: module }] }],
      ["faults", { drives: [{ drive_id: "a", faults: { rules: [] } }] }],
    ] as const
  ) {
    assert.equal(
      await test.bad("PUT", "/vireo/config", body),
      NOT_ALLOWED(key),
    );
  }
  const rows = [
    ["PUT", "config", [], "Vireo error: config: is no object"],
    [
      ...["PUT", "config", { vsock: {} }] as const,
      'Vireo error: config: "vsock" is not one of machine-config, drives, ' +
      "network-interfaces, console, devices, bus-devices",
    ],
    [
      ...["PUT", "config", { console: { agents: true } }] as const,
      'Start microvm error: console.agents unknown key; did you mean "agent"?',
    ],
    ["GET", "state", , BEFORE],
    ["PUT", "exec", { command: "true" }, BEFORE],
    [
      ...["PUT", "exec", "{}"] as const,
      `${D}missing field \`command\` at line 1 column 2.`,
    ],
    [
      ...["PUT", "exec", '{"command":7}'] as const,
      `${D}invalid type: integer \`7\`, expected a string at line 1 column 12.`,
    ],
    ["PUT", "faults", { device: "a", rules: [] }, BEFORE],
    ["PUT", "trace", { trace_path: "/x" }, BEFORE],
    ["DELETE", "trace", , BEFORE],
    ["PUT", "reset", { snapshot_path: "/x", mem_file_path: "/y" }, BEFORE],
    ["PUT", "fork", { api_sock: "/x" }, BEFORE],
    ["PUT", "stop", , BEFORE],
    ["PUT", "nope", {}, "Invalid request method and/or path: PUT vireo."],
  ] as const;
  for (const [method, path, body, text] of rows) {
    assert.equal(await test.bad(method, `/vireo/${path}`, body), text, path);
  }
  assert.deepEqual(await test.good("GET", "/vireo/config"), {});
});

Deno.test(needing([KVM], {
  name:
    "API's own: what is added has no words of Firecracker's: a disk with faults, and none again",
  async fn() {
    using folder = new TestFolder();
    await using test = new TestApi({ allowsModules: true });
    await test.good("PUT", "/drives/d", {
      ...{ drive_id: "d", path_on_host: folder.file("d.img") },
      ...{ is_root_device: false, cache_type: "Writeback" },
    });
    const own = {
      drives: [{ drive_id: "d", faults: { rules: [] } }],
      "machine-config": { poll_us: 0 },
    };
    await test.good("PUT", "/vireo/config", own);
    await test.good("PUT", "/vireo/config", {
      "machine-config": { pmu: false },
    });
    assert.deepEqual(await test.good("GET", "/vireo/config"), {
      ...own,
      "machine-config": { poll_us: 0, pmu: false },
    });
    await startGuest(test, PAYLOAD, "journal");
    await until(() => /^journal.*\n.*\n/m.test(test.output), "blocks");
    const faults = (device: string, rules: unknown[]) =>
      ["PUT", "/vireo/faults", { device, rules }] as const;
    assert.match(await test.bad(...faults("x", [RULE])), /^Vireo error: .*x/);
    assert.match(
      await test.bad(...faults("d", [{ ...RULE, effect: "melt" }])),
      /^Vireo error: .*effect/,
    );
    await test.good(...faults("d", [{ on: "write", effect: "stall" }]));
    let length = -1;
    await until(() => {
      const same = test.output.length === length;
      length = test.output.length;
      return same;
    }, "a pause");
    await test.good(...faults("d", []));
    await until(() => test.output.length > length, "more");
  },
}));

Deno.test(needing([KVM], {
  name: "API's own: state, a trace in a file, and back to a snapshot",
  async fn() {
    using folder = new TestFolder();
    await using test = new TestApi();
    await startGuest(test, folder.file("kernel", ECHOES));
    await until(() => test.output.includes("hi"), "hi");

    const trace_path = `${folder.path}/trace.json`;
    const refused = { trace_path, types: ["nothing"] };
    assert.match(
      await test.bad("PUT", "/vireo/trace", refused),
      /^Vireo error: trace: no events are of type "nothing"/,
    );
    await test.good("PUT", "/vireo/trace", { trace_path, types: ["exit"] });
    await echoes(test, "traced");
    await test.good("DELETE", "/vireo/trace");
    await test.good("DELETE", "/vireo/trace"); // there is none any more
    const events = JSON.parse(Deno.readTextFileSync(trace_path));
    assert.ok(events.length > 6, `${events.length} events`);

    const state = await test.good("GET", "/vireo/state") as {
      state: string;
      memory: { size: number }[];
      vcpus: { registers: Record<string, string> }[];
    };
    assert.equal(state.state, "running");
    assert.equal(state.memory[0]!.size, 16 << 20);
    assert.match(state.vcpus[0]!.registers["rip"]!, /^0x10[0-9a-f]{4}$/);

    const files = {
      snapshot_path: `${folder.path}/vm.state`,
      mem_file_path: `${folder.path}/vm.mem`,
    };
    await test.good("PATCH", "/vm", { state: "Paused" });
    await test.good("PUT", "/snapshot/create", files);
    for (let times = 0; times < 2; times++) {
      await test.good("PUT", "/vireo/reset", files);
      await test.good("PATCH", "/vm", { state: "Resumed" });
      await echoes(test, `again${times}`);
    }
    const none = { ...files, snapshot_path: "/none" };
    assert.match(
      await test.bad("PUT", "/vireo/reset", none),
      /^Vireo error: No such file or directory \(os error 2\)/,
    );
    await echoes(test, "goes on");
  },
}));

async function good(
  client: Client,
  method: string,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const { status, body: text } = await client.ask(method, path, body);
  assert.ok(status < 300, `${method} ${path}: ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}

Deno.test(needing([KVM], {
  name:
    "API's own: a fork has a socket, a disk and a console of its own; its end is not the process's",
  async fn() {
    // Not beside all that the guest prints: a slow reader loses lines of a log.
    await using process = new ApiProcess({
      args: ["--id", "first", "--log-path", "log"],
    });
    const client = await process.client();
    const disk = (name: string) => process.file(name, new Uint8Array(1 << 20));
    await good(client, "PUT", "/machine-config", {
      vcpu_count: 1,
      mem_size_mib: 16,
    });
    await good(client, "PUT", "/boot-source", {
      kernel_image_path: process.file("kernel", COUNTS),
      boot_args: "",
    });
    await good(client, "PUT", "/drives/d", {
      drive_id: "d",
      path_on_host: disk("a.img"),
      is_root_device: false,
    });
    await good(client, "PUT", "/actions", { action_type: "InstanceStart" });
    await process.until(() => process.bytes > 1000, "output");
    const api_sock = `${process.folder}/fork.socket`;
    const without = await client.ask("PUT", "/vireo/fork", { api_sock });
    assert.match(without.body, /fork: to be given.*drives d: path_on_host/);
    assert.throws(() => Deno.statSync(api_sock), Deno.errors.NotFound);
    const path_on_host = disk("b.img");
    await good(client, "PUT", "/vireo/fork", {
      ...{ api_sock, id: "second", serial_out_path: "second.out" },
      drive_overrides: [{ drive_id: "d", path_on_host }],
    });
    const second = await process.client(api_sock);
    const { id, state } = await good(second, "GET", "/") as Record<
      string,
      string
    >;
    assert.deepEqual([id, state], ["second", "Running"]);
    const config = await good(second, "GET", "/vm/config") as {
      drives: { path_on_host: string }[];
    };
    assert.equal(config.drives[0]!.path_on_host, path_on_host);
    const console = `${process.folder}/second.out`;
    await process.until(
      () => exists(console) && Deno.statSync(console).size > 1000,
      "output of the fork",
    );
    await good(second, "PATCH", "/vm", { state: "Paused" });
    const paused = await good(client, "GET", "/") as { state: string };
    assert.equal(paused.state, "Running", "the first goes on");
    // Each counts on from where they were one.
    const bytes = Deno.readFileSync(console);
    const odd = bytes.findIndex((byte, i) =>
      i > 0 && byte !== (bytes[i - 1]! + 1 & 255)
    );
    assert.equal(odd, -1);
    const log = Deno.readTextFileSync(`${process.folder}/log`);
    assert.match(log, /\[second:fc_api\] Connection of user \d+/);
    await good(second, "PUT", "/vireo/stop");
    await process.until(() => !exists(api_sock), "the fork's end");
    const before = process.bytes;
    await process.until(() => process.bytes > before + 1000, "more");
    await good(client, "PUT", "/vireo/stop", {});
    assert.equal(await process.end(), 0);
  },
}));
