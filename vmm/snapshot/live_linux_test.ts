/** Linux is forked and put back while it computes and writes to a disk. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { MiB } from "../../guest/layout.ts";
import { LINUX } from "../../images/testing/prepared.ts";
import type { VmConfig } from "../config/types.ts";
import { LinuxGuest } from "../testing/linux.ts";
import { ScratchFile } from "../testing/mod.ts";
import { Twin } from "../testing/twin.ts";
import type { Overrides } from "./mod.ts";

const FORKS = 3;
const RESETS = 8;

/** Writes how far it is, and the sum of all numbers until there, for ever. */
const SUMS = "awk 'BEGIN { for (i = 1;; i++) { s += i; " +
  'if (i % 100000 == 0) { print i, s, i > "/run/sum"; close("/run/sum") } } }\' & true';

/**
 * A function of the shell, since each typed byte costs the guest a thousand
 * instructions. It prints what is in a file without a process of its own; that
 * begins and ends with the same number, if it was not written meanwhile.
 */
const NUMBERS = "n() { a=; until { read a b c < $1; } 2> /dev/null && " +
  '[ "$a" ] && [ "$a" = "$c" ]; do :; done; echo $a $b; }';

/** The sum that a guest has is right; how far it is. */
async function sum(guest: { run(command: string): Promise<string> }) {
  const line = await guest.run("n sum");
  const [count, total] = line.split(" ").map(Number);
  assert.equal(total, count! * (count! + 1) / 2, line);
  return count!;
}

for (
  const [name, machineConfig] of [
    ["one CPU, mmio", {}],
    ["two CPUs, pci", { vcpu_count: 2, transport: "pci" }],
  ] as [string, VmConfig["machine-config"]][]
) {
  Deno.test(needing([KVM, LINUX], {
    name:
      `Linux: forked ${FORKS} times and reset ${RESETS} times under load, its sums are right (${name})`,
    async fn() {
      using disk = new ScratchFile(16 * MiB);
      await using linux = await LinuxGuest.boot({
        "machine-config": { mem_size_mib: 96, ...machineConfig },
        drives: [{
          drive_id: "data",
          path_on_host: disk.path,
          is_root_device: false,
        }],
        entropy: {},
      }, "console=ttyS0 clocksource=kvm-clock");
      const { machine } = linux.test;
      await linux.run("cd /run; x=42");
      await linux.run(NUMBERS);
      await linux.run(SUMS);
      await linux.run(
        "(while :; do echo $i > /dev/vdb; i=$((i + 1)); " +
          "echo $i . $i > writes; done) & true",
      );
      for (let i = 0; i < FORKS; i++) {
        const before = await sum(linux);
        using other = new ScratchFile(16 * MiB);
        const drives = [{ drive_id: "data", path_on_host: other.path }];
        await using child = await Twin.of((options) =>
          machine.fork({ drives } as Overrides, options)
        );
        const there = await sum(child);
        assert.ok(there >= before, `${there} after ${before}`);
        const writes = async () =>
          Number((await child.run("n writes")).split(" ")[0]);
        const written = await writes();
        await until(
          async () => await writes() > written,
          "progress of the child's disk",
          () => child.output,
        );
        await until(async () => await sum(child) > there, "its sum");
        assert.equal(await child.run("echo $x; x=43"), "42");
      }
      using snapshot = await machine.snapshot({ base: true });
      const outputs: string[] = [];
      for (let i = 0; i < RESETS; i++) {
        const there = await sum(linux);
        outputs.push(await linux.run("echo $x; x=44; pwd; echo *"));
        await until(async () => await sum(linux) > there, "its sum");
        await machine.reset(snapshot);
      }
      assert.deepEqual(outputs, outputs.map(() => outputs[0]));
      assert.equal(await linux.run("echo $x"), "42");
      assert.deepEqual(linux.test.log, []);
    },
  }));
}
