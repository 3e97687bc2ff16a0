/** Networks by the API, in a namespace of their own as some launchers do it. */
import assert from "node:assert/strict";
import { KVM, needing, NETWORKS } from "../ffi/testing/needs.ts";
import { TestNetwork } from "../vmm/testing/mod.ts";
import { ApiProcess } from "./testing/process.ts";

const PAYLOAD =
  new URL("../images/payload/payload.elf", import.meta.url).pathname;

Deno.test(needing([KVM, NETWORKS], {
  name:
    "API: a TAP is taken by the request that names it; busy, missing, a MAC twice; limits change; the guest pings",
  async fn() {
    using network = new TestNetwork();
    await using process = new ApiProcess({
      through: ["ip", "netns", "exec", network.netns],
    });
    const client = await process.client();
    const nic = (iface_id: string, host_dev_name: string, more = {}) =>
      client.ask("PUT", `/network-interfaces/${iface_id}`, {
        ...{ iface_id, host_dev_name, ...more },
      });
    const tap = (why: string, name: string) =>
      "Network config error: Could not create the network device: Open tap " +
      `device failed: Error while creating ifreq structure: ${why}. Invalid ` +
      `TUN/TAP Backend provided by ${name}. Check our documentation on ` +
      "setting up the network devices.";
    const refuses = ({ status, body }: { status: number; body: string }) => {
      assert.equal(status, 400);
      return JSON.parse(body).fault_message;
    };
    const guest_mac = "02:00:00:00:00:0A";
    assert.equal((await nic("a", "tap0", { guest_mac })).status, 204);
    assert.equal(
      refuses(await nic("b", "tap0")),
      tap("Device or resource busy (os error 16)", "tap0"),
    );
    assert.equal(
      refuses(await nic("b", "none0")),
      tap("No such device (os error 19)", "none0"),
    );
    assert.equal(
      refuses(await nic("b", "tap0", { guest_mac: guest_mac.toLowerCase() })),
      "Network config error: The MAC address is already in use: " +
        guest_mac.toLowerCase(),
    );
    const names = async () => {
      const { body } = await client.ask("GET", "/vm/config");
      return JSON.parse(body)["network-interfaces"]
        .map(({ iface_id }: { iface_id: string }) => iface_id);
    };
    // A request that fails takes the interface of its name with it.
    refuses(await nic("a", "none0"));
    assert.deepEqual(await names(), []);
    assert.equal((await nic("a", "tap0", { guest_mac })).status, 204);
    // One frame in an hour: its pings wait for other limits.
    const one = { ops: { size: 1, refill_time: 3_600_000 } };
    assert.equal(
      (await nic("a", "tap0", { rx_rate_limiter: one })).status,
      204,
      "it is let go first",
    );
    assert.deepEqual(await names(), ["a"]);

    const { host, guest } = network;
    const boot_args = `demo pings=3 ip=${guest} peer=${host}`;
    for (
      const [path, body] of [
        ["/machine-config", { vcpu_count: 1, mem_size_mib: 16 }],
        ["/boot-source", { kernel_image_path: PAYLOAD, boot_args }],
        ["/actions", { action_type: "InstanceStart" }],
      ] as const
    ) {
      assert.equal((await client.ask("PUT", path, body)).status, 204);
    }
    const ops = { size: 1000, refill_time: 1 };
    const limits = { iface_id: "a", rx_rate_limiter: { ops } };
    const { status, body } = await client.ask(
      ...["PATCH", "/network-interfaces/a", limits] as const,
    );
    assert.equal(status, 204, body);
    assert.equal(await process.end(), 0);
    assert.match(process.stdout, /^payload: ok/m, process.stdout);
  },
}));
