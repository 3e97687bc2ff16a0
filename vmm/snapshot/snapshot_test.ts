/** A machine's state leaves it, and goes on elsewhere. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { LINUX } from "../../images/testing/prepared.ts";
import { EarlyVcpu } from "../early_vcpu.ts";
import { Machine } from "../machine.ts";
import { LinuxGuest } from "../../cli/testing/linux.ts";
import { Twin } from "../testing/twin.ts";
import { connect, echoed } from "../testing/vsock.ts";
import type { Overrides, Snapshot } from "./mod.ts";

/** What was said of ends, once there is one; without a process of its own. */
const ENDS = "read <&9; while read -r end; do echo $end; done <ends";

/** A machine that goes on from `snapshot`, its vCPU before its devices. */
function twinOf(snapshot: Snapshot, overrides?: Overrides): Promise<Twin> {
  const early = new EarlyVcpu();
  return Twin.of((options) =>
    Machine.restore(snapshot, overrides, { ...options, early })
  );
}

Deno.test(needing([KVM, LINUX], {
  name:
    "Linux: virtio console, vsock and balloon go on in another machine (packed rings)",
  async fn() {
    const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    using _dir = {
      [Symbol.dispose]: () => Deno.removeSync(dir, { recursive: true }),
    };
    /** What a machine has on the host, and how much its guest is to give up. */
    const devices = (name: string, guest_cid: number, amount_mib: number) => ({
      console: {
        main: true,
        ports: [{ name: "agent", path: `${dir}/${name}` }],
      },
      vsock: { guest_cid, uds_path: `${dir}/${name}.vsock` },
      balloon: {
        amount_mib,
        deflate_on_oom: false,
        stats_polling_interval_s: 1,
      },
    });
    await using linux = await LinuxGuest.boot({
      "machine-config": { mem_size_mib: 64, packed_rings: true },
      ...devices("first", 3, 8),
    }, "console=hvc0 clocksource=kvm-clock");
    await linux.run("x=42; cd /run; mkfifo ended; exec 9<> ended");
    await linux.run(
      "vsock listen 52 sh -c " +
        "'cat 2> /dev/null; echo end >> ends; echo >> ended' & true",
    );
    using old = await connect(`${dir}/first.vsock`, 52);
    const { machine } = linux.test;
    const shrunk = (balloon: Machine["balloon"], mib: number) =>
      until(
        async () => (await balloon.stats()).actual_mib === mib,
        `a balloon of ${mib} MiB`,
      );
    await shrunk(machine.balloon, 8);
    using snapshot = await machine.snapshot();
    {
      await using twin = await twinOf(snapshot, devices("second", 9, 5));
      assert.equal(await twin.run("echo $x; pwd"), "42\n/run");
      assert.equal(await twin.run(ENDS), "end", "of the stream");
      const connection = await connect(`${dir}/second.vsock`, 52);
      const data = crypto.getRandomValues(new Uint8Array(50_000));
      assert.deepEqual(await echoed(connection, data), data);
      await shrunk(twin.machine.balloon, 5);
    }
    assert.equal(
      await linux.run("echo $x; if [ -e ends ]; then echo ends; fi"),
      "42",
      "its stream goes on",
    );
    const data = crypto.getRandomValues(new Uint8Array(50_000));
    assert.deepEqual(await echoed(old, data), data);
    // The same machine again: its streams are gone, and it has no others.
    await linux.run("x=44; rm -f ends");
    await machine.reset(snapshot);
    assert.equal(await linux.run("echo $x; pwd"), "42\r\n/run");
    assert.equal(await linux.run(ENDS), "end", "of the stream");
    using again = await connect(`${dir}/first.vsock`, 52);
    assert.deepEqual(await echoed(again, data), data);
    await shrunk(machine.balloon, 8);
    assert.deepEqual(linux.test.log, []);
  },
}));
