/** A machine's state leaves it, and goes on elsewhere. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { MiB } from "../../guest/layout.ts";
import { LINUX } from "../../images/testing/prepared.ts";
import type { VmConfig } from "../config/types.ts";
import { Machine } from "../machine.ts";
import { LinuxGuest } from "../testing/linux.ts";
import { ScratchFile } from "../testing/mod.ts";
import { Twin } from "../testing/twin.ts";
import { connect, echoed } from "../testing/vsock.ts";
import type { Overrides, Snapshot } from "./mod.ts";

/** A machine that goes on from `snapshot`. */
function twinOf(snapshot: Snapshot, overrides?: Overrides): Promise<Twin> {
  return Twin.of((options) => Machine.restore(snapshot, overrides, options));
}

for (
  const [name, machineConfig] of [
    [
      "Linux: goes on as it was saved, in the middle of I/O (one CPU, mmio)",
      {},
    ],
    ["Linux: goes on as it was saved, in the middle of I/O (two CPUs, pci)", {
      vcpu_count: 2,
      transport: "pci",
    }],
  ] as [string, VmConfig["machine-config"]][]
) {
  Deno.test(needing([KVM, LINUX], {
    name,
    async fn() {
      using disk = new ScratchFile(16 * MiB);
      using other = new ScratchFile(16 * MiB);
      await using linux = await LinuxGuest.boot({
        "machine-config": { mem_size_mib: 96, ...machineConfig },
        drives: [{
          drive_id: "data",
          path_on_host: disk.path,
          is_root_device: false,
        }],
        entropy: {},
        // With the TSC for a clock, all time since the snapshot comes at once.
      }, "console=ttyS0 clocksource=kvm-clock");
      await linux.run("x=42; cd /run; echo kept > kept");
      await linux.run(
        "(while :; do dd if=/proc/cmdline of=/dev/vdb bs=4k count=4 " +
          "conv=fsync 2>/dev/null; echo more >> count; done) & true",
      );
      const lines = await linux.run("dmesg | grep -c virtio");
      using snapshot = await linux.test.machine.snapshot();
      assert.equal(await linux.run("x=43; echo $x"), "43");
      const overrides = {
        drives: [{ drive_id: "data", path_on_host: other.path }],
      } as Overrides;
      for (let i = 0; i < 2; i++) {
        await using twin = await twinOf(snapshot, overrides);
        assert.equal(
          await twin.run("echo $x; pwd; cat kept"),
          "42\n/run\nkept",
        );
        const seen = "wc -l < count 2>/dev/null || echo 0";
        const before = Number(await twin.run(seen));
        await until(
          async () => Number(await twin.run(`sleep 1; ${seen}`)) > before,
          "progress of the disk",
          () => twin.output,
        );
        assert.equal(await twin.run("head -c 99 /dev/hwrng | wc -c"), "99");
        assert.equal(
          await twin.run("dmesg | grep -c virtio"),
          lines,
          "all in order",
        );
      }
      assert.equal(await linux.run("echo $x"), "43", "the first goes on, too");
    },
  }));
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
      "machine-config": { mem_size_mib: 96, packed_rings: true },
      ...devices("first", 3, 8),
    }, "console=hvc0 clocksource=kvm-clock");
    await linux.run("x=42; cd /run");
    await linux.run(
      "vsock listen 52 sh -c 'cat 2> /dev/null; echo end >> ends' & true",
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
      const ends = "while [ ! -e ends ]; do sleep 0.1; done; cat ends";
      assert.equal(await twin.run(ends), "end", "of the stream");
      const connection = await connect(`${dir}/second.vsock`, 52);
      const data = crypto.getRandomValues(new Uint8Array(50_000));
      assert.deepEqual(await echoed(connection, data), data);
      await shrunk(twin.machine.balloon, 5);
    }
    assert.equal(
      await linux.run("echo $x; cat ends 2> /dev/null"),
      "42",
      "its stream goes on",
    );
    const data = crypto.getRandomValues(new Uint8Array(50_000));
    assert.deepEqual(await echoed(old, data), data);
    // The same machine again: its streams are gone, and it has no others.
    await linux.run("x=44; rm -f ends");
    await machine.reset(snapshot);
    assert.equal(await linux.run("echo $x; pwd"), "42\r\n/run");
    const ends = "while [ ! -e ends ]; do sleep 0.1; done; cat ends";
    assert.equal(await linux.run(ends), "end", "of the stream");
    using again = await connect(`${dir}/first.vsock`, 52);
    assert.deepEqual(await echoed(again, data), data);
    await shrunk(machine.balloon, 8);
    assert.deepEqual(linux.test.log, []);
  },
}));
