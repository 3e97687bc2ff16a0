/** Machines of this process at a switch. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { until } from "../ffi/testing/until.ts";
import { readPayload } from "../images/payload/payload.ts";
import type { VmConfig } from "../vmm/config/types.ts";
import { runMachine, TestMachine } from "../vmm/testing/mod.ts";
import { Switch } from "./switch.ts";

/** The payload with a network interface at `socket`. */
async function payload(words: string, socket: string): Promise<VmConfig> {
  return {
    "boot-source": {
      kernel_image_path: await readPayload(),
      boot_args: words,
    },
    "machine-config": { mem_size_mib: 32 },
    "network-interfaces": [{ iface_id: "eth0", socket }],
  };
}

Deno.test(needing([KVM], {
  name:
    "Switch: a machine pings another, over a link with latency and a capture",
  async fn() {
    const dir = Deno.makeTempDirSync({ prefix: "vireo-switch-" });
    using _dir = {
      [Symbol.dispose]: () => Deno.removeSync(dir, { recursive: true }),
    };
    const log: string[] = [];
    await using network = new Switch((line) => log.push(line));
    const near = network.listen(`${dir}/near`);
    const pcap = `${dir}/far.pcap`;
    const far = network.listen(`${dir}/far`, { latency: 5, pcap });
    await using server = await TestMachine.create(
      await payload("serve=600 ip=10.9.0.2", far.path),
    );
    server.machine.start();
    await server.printed(/answering at .*\n/);
    assert.equal(far.connected, 1);
    const { end, output } = await runMachine(
      await payload("demo ip=10.9.0.1 peer=10.9.0.2", near.path),
    );
    assert.equal(end.reason, "reset", output);
    assert.match(output, /^payload: ok/m);
    const macs = [output, server.output].map((text) => /MAC (\S+),/.exec(text));
    assert.notEqual(macs[0]![1], macs[1]?.[1], "both are called eth0");
    const { received, sent, dropped } = far.counts;
    assert.ok(sent >= 2 && received >= 2, output); // ARP and pings, both ways
    assert.equal(dropped, 0);
    await until(() => near.connected === 0, "end of the machine's port");
    await network[Symbol.asyncDispose]();
    const size = Deno.statSync(pcap).size;
    assert.ok(size >= 24 + (received + sent) * (16 + 42), `${size} bytes`);
    assert.deepEqual(log, []);
  },
}));
