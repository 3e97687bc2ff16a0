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
import type { Overrides, Snapshot } from "./mod.ts";

/** A restored machine whose shell is typed into. */
class Twin implements AsyncDisposable {
  readonly #machine: Machine;
  readonly #chunks: Uint8Array[];
  #commands = 0;

  private constructor(machine: Machine, chunks: Uint8Array[]) {
    this.#machine = machine;
    this.#chunks = chunks;
  }

  static async of(snapshot: Snapshot, overrides?: Overrides): Promise<Twin> {
    const chunks: Uint8Array[] = [];
    const machine = await Machine.restore(snapshot, overrides, {
      onOutput: (bytes) => chunks.push(bytes),
    });
    machine.start();
    return new Twin(machine, chunks);
  }

  get output(): string {
    const decoder = new TextDecoder();
    return this.#chunks.map((chunk) => decoder.decode(chunk)).join("");
  }

  /** Types a command; returns what it prints. */
  async run(command: string): Promise<string> {
    const end = `<twin ${++this.#commands}>`;
    const from = this.output.length;
    const line = `${command}; echo "${end.replace("<", '<""')}"\n`;
    this.#machine.input(new TextEncoder().encode(line));
    await until(() => this.output.includes(end), end, () => this.output);
    return this.output.slice(from, this.output.indexOf(end))
      .replaceAll("\r\n", "\n").trim();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#machine.stop();
  }
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
        await using twin = await Twin.of(snapshot, overrides);
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
