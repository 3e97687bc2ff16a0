/** Metadata: said by requests, told by the network device. */
import assert from "node:assert/strict";
import { KVM, needing, NETWORKS } from "../ffi/testing/needs.ts";
import { TestNetwork } from "../vmm/testing/mod.ts";
import { HI } from "../vmm/testing/tiny_guest.ts";
import { merged } from "./endpoints/metadata.ts";
import { ApiProcess } from "./testing/process.ts";
import { TestApi } from "./testing/test_api.ts";

const NOT_THERE = "MMDS error: The MMDS data store is not initialized.";

Deno.test("API metadata: put, merged, told, limited", async () => {
  await using test = new TestApi();
  assert.deepEqual(await test.good("GET", "/mmds"), {});
  assert.equal(await test.bad("PATCH", "/mmds", { a: 1 }), NOT_THERE);
  await test.good("PUT", "/mmds", { a: { b: 1, c: [2] }, d: "x" });
  await test.good("PATCH", "/mmds", { a: { b: null, e: {} }, d: 7 });
  assert.deepEqual(await test.good("GET", "/mmds"), {
    a: { c: [2], e: {} },
    d: 7,
  });
  const full = await test.ask("PATCH", "/mmds", { f: "x".repeat(100) });
  assert.deepEqual([full.status, JSON.parse(full.body!)], [413, {
    fault_message:
      "MMDS limit exceeded error: The MMDS patch request doesn't fit.",
  }]);
  assert.deepEqual(await test.good("GET", "/mmds"), {
    a: { c: [2], e: {} },
    d: 7,
  });
  await test.good("PATCH", "/mmds", '"any JSON"');
  assert.equal(await test.good("GET", "/mmds"), "any JSON");
  const told = test.lines.join("");
  assert.doesNotMatch(told, /any JSON|body/, "the log doesn't have it");
  assert.deepEqual(
    merged({ a: 1 }, JSON.parse('{"__proto__":{"x":1}}')),
    JSON.parse('{"a":1,"__proto__":{"x":1}}'),
  );
});

Deno.test("API metadata: a service has interfaces that there are, and a link-local address", async () => {
  await using test = new TestApi();
  const config = (network_interfaces: string[], more = {}) =>
    test.bad("PUT", "/mmds/config", { network_interfaces, ...more });
  assert.match(
    await config([]),
    /^MMMDS config error: The list of .* empty\.$/,
  );
  assert.match(await config(["eth0"]), /does not correspond to any existing/);
  assert.match(
    await test.bad("PUT", "/mmds/config", "{}"),
    /missing field `network_interfaces` at line 1 column 2\.$/,
  );
});

Deno.test(needing([KVM, NETWORKS], {
  name:
    "API metadata: a service is configured, has its data from the start, and gets other",
  async fn() {
    using network = new TestNetwork();
    await using process = new ApiProcess({
      through: ["ip", "netns", "exec", network.netns],
      args: ["--metadata", "data.json"],
      files: () => ({ "data.json": '{"from":"a file"}' }),
    });
    const client = await process.client();
    const good = async (path: string, body: unknown, method = "PUT") => {
      const answer = await client.ask(method, path, body);
      assert.ok(answer.status < 300, answer.body);
      return answer;
    };
    const nic = { iface_id: "e", host_dev_name: "tap0" };
    const { body } = await client.ask("GET", "/mmds");
    assert.equal(body, '{"from":"a file"}');
    await good("/network-interfaces/e", nic);
    const bad = await client.ask("PUT", "/mmds/config", {
      network_interfaces: ["e"],
      ipv4_address: "10.0.0.1",
    });
    assert.match(bad.body, /The MMDS IPv4 address is not link local\./);
    assert.match(bad.head, /^Deprecation: true\r$/m);
    const config = { version: "V2", network_interfaces: ["e"] };
    const answer = await good("/mmds/config", config);
    assert.doesNotMatch(answer.head, /Deprecation/);
    await good("/machine-config", { vcpu_count: 1, mem_size_mib: 16 });
    await good("/boot-source", {
      kernel_image_path: process.file("kernel", HI),
      boot_args: "",
    });
    await good("/actions", { action_type: "InstanceStart" });
    await good("/mmds", { more: 1 }, "PATCH");
    const told = await client.ask("GET", "/mmds");
    assert.equal(told.body, '{"from":"a file","more":1}');
    const vm = JSON.parse((await client.ask("GET", "/vm/config")).body);
    assert.deepEqual(vm["mmds-config"], {
      ...config,
      ipv4_address: "169.254.169.254",
      imds_compat: false,
    });
  },
}));
