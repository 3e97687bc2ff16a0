/** The prepared Linux and the metadata service of its network. */
import assert from "node:assert/strict";
import { KVM, needing, NETWORKS } from "../ffi/testing/needs.ts";
import { LINUX } from "../images/testing/prepared.ts";
import { TestNetwork } from "../vmm/testing/mod.ts";
import { LinuxGuest } from "./testing/linux.ts";

Deno.test(needing([KVM, NETWORKS, LINUX], {
  name:
    "Linux: metadata comes from the network device, as it is now; all else goes on",
  async fn() {
    using network = new TestNetwork();
    await using linux = await LinuxGuest.boot({
      "machine-config": { mem_size_mib: 64 },
      "network-interfaces": [{
        iface_id: "eth0",
        host_dev_name: "tap0",
        netns: network.netns,
        mmds: { version: "V1" },
      }],
    });
    const { machine } = linux.test;
    const set = (store: unknown) =>
      machine.command("eth0", { type: "mmds", store });
    const large = "0123456789".repeat(2000);
    await set({ latest: { "meta-data": { name: "web", large } } });
    await linux.run(
      `ifconfig eth0 ${network.guest} up; route add -host 169.254.169.254 eth0`,
    );
    const get = (path: string) =>
      linux.run(`wget -q -O - http://169.254.169.254/latest/${path}`);
    assert.equal(await get(""), "meta-data/");
    assert.equal(await get("meta-data/name"), "web");
    assert.equal(
      await linux.run(
        "wget -q -O - http://169.254.169.254/latest/meta-data/large | wc -c",
      ),
      `${large.length}`,
    );
    await set({ latest: { "meta-data": { name: "other" } } });
    assert.equal(await get("meta-data/name"), "other");
    const pings = await linux.run(`ping -q -A -c 3 ${network.host}`);
    assert.match(pings, /3 packets received/, "all else goes on as ever");
  },
}));
