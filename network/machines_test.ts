/** Machines of this process at a switch, by sockets and without. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { until } from "../ffi/testing/until.ts";
import { readPayload } from "../images/payload/payload.ts";
import type { VmConfig } from "../vmm/config/types.ts";
import type { NetworkInterface } from "../vmm/devices/mod.ts";
import { Machine } from "../vmm/machine.ts";
import {
  descriptorsAgain,
  descriptorsAtRest,
  runMachine,
  TestMachine,
} from "../vmm/testing/mod.ts";
import { Switch } from "./switch.ts";

/** The payload with a network interface at a switch. */
async function payload(
  words: string,
  at: Pick<NetworkInterface, "socket" | "plug">,
): Promise<VmConfig> {
  return {
    "boot-source": {
      kernel_image_path: await readPayload(),
      boot_args: words,
    },
    "machine-config": { mem_size_mib: 32 },
    "network-interfaces": [{ iface_id: "eth0", ...at }],
  };
}

/** A folder that goes. */
function scratchFolder(): Disposable & { path: string } {
  const path = Deno.makeTempDirSync({ prefix: "vireo-switch-" });
  return {
    path,
    [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }),
  };
}

/** A capture has so many frames, none shorter than an ARP request. */
function assertCaptured(pcap: string, frames: number): void {
  const { size } = Deno.statSync(pcap);
  assert.ok(size >= 24 + frames * (16 + 42), `${size} bytes`);
}

Deno.test(needing([KVM], {
  name:
    "Switch: a machine pings another, over a link with latency and a capture",
  async fn() {
    using scratch = scratchFolder();
    const dir = scratch.path;
    const log: string[] = [];
    await using network = new Switch((line) => log.push(line));
    const near = network.listen(`${dir}/near`);
    const pcap = `${dir}/far.pcap`;
    const far = network.listen(`${dir}/far`, { latency: 5, pcap });
    await using server = await TestMachine.create(
      await payload("serve=600 ip=10.9.0.2", { socket: far.path }),
    );
    server.machine.start();
    await server.printed(/answering at .*\n/);
    assert.equal(far.connected, 1);
    const { end, output } = await runMachine(
      await payload("demo ip=10.9.0.1 peer=10.9.0.2", { socket: near.path }),
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
    assertCaptured(pcap, received + sent);
    assert.deepEqual(log, []);
  },
}));

Deno.test(needing([KVM], {
  name:
    "Switch: machines are plugged in without a socket, beside one that has one",
  async fn() {
    using scratch = scratchFolder();
    const dir = scratch.path;
    const log: string[] = [];
    await using network = new Switch((line) => log.push(line));
    const pcap = `${dir}/plug.pcap`;
    const plug = network.plug({ latency: 5, pcap });
    const { path: socket } = network.listen(`${dir}/socket`);
    await using server = await TestMachine.create(
      await payload("serve=600 ip=10.9.0.2", { plug }),
    );
    assert.equal(plug.connected, 1, "from the beginning");
    server.machine.start();
    await server.printed(/answering at .*\n/);
    const demo = "demo ip=10.9.0.1 peer=10.9.0.2";
    for (const at of [{ plug }, { socket }]) {
      const { end, output } = await runMachine(await payload(demo, at));
      assert.equal(end.reason, "reset", output);
      assert.match(output, /^payload: ok/m);
    }
    await until(() => plug.connected === 1, "end of the machine's port");
    const { received, sent, dropped } = plug.counts;
    assert.ok(sent >= 4 && received >= 4, JSON.stringify(plug.counts));
    assert.equal(dropped, 0);
    assert.throws(
      () => plug.reshape({ loss: 2 }),
      /^VireoError: switch plug: loss 2 is not a number from 0 to 1$/,
    );
    await server.machine.stop();
    await until(() => plug.connected === 0, "end of the server's port");
    await network[Symbol.asyncDispose]();
    assertCaptured(pcap, received + sent);
    assert.deepEqual(log, []);
  },
}));

Deno.test(needing([KVM], {
  name:
    "Switch: a plug that can't be had is told in a line, and nothing is left",
  async fn() {
    const network = new Switch();
    const plug = network.plug();
    const refused = async (at: object, message: RegExp) => {
      const config = await payload("demo", at);
      await assert.rejects(Machine.create(config), {
        name: "VireoError",
        message,
      });
    };
    await refused(
      { plug: {} },
      /network-interfaces\[0\]\.plug: .*not a Switch's plug$/,
    );
    await refused({ plug, socket: "s" }, /exactly one of host_dev_name, passt/);
    await refused({ plug, queues: 2 }, /several queues are for a TAP$/);
    assert.equal(plug.connected, 0);
    const all = Array.from({ length: 128 }, () => plug.plugIn());
    await refused({ plug }, /^switch plug: there are 128 ports already$/);
    for (const one of all) one[Symbol.dispose]();
    await until(() => plug.connected === 0, "end");
    await using test = await TestMachine.create(
      await payload("serve=600 ip=10.9.0.2", { plug }),
    );
    test.machine.start();
    await test.printed(/answering at .*\n/);
    await assert.rejects(
      test.machine.fork(),
      /^VireoError: fork: to be given, .*: network-interfaces eth0: plug$/,
    );
    const other = network.plug();
    await using _fork = await test.machine.fork({
      "network-interfaces": [{ iface_id: "eth0", plug: other }],
    });
    assert.deepEqual([plug.connected, other.connected], [1, 1]);
    await network[Symbol.asyncDispose]();
    await refused({ plug }, /^switch plug: the switch is closed$/);
    assert.throws(() => network.plug(), /switch plug: the switch is closed$/);
    assert.equal(test.machine.state, "running", "its link is down, no more");
  },
}));

Deno.test(needing([KVM], {
  name: "Switch: machines that were plugged in leave no descriptor and no port",
  async fn() {
    await using network = new Switch();
    const plug = network.plug();
    const one = async () => {
      await runMachine(await payload("hello", { plug }));
    };
    await one();
    const before = await descriptorsAtRest();
    for (let i = 0; i < 10; i++) await one();
    await descriptorsAgain(before);
    await until(() => plug.connected === 0, "no port");
  },
}));
