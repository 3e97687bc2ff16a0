/**
 * A Linux with two busy CPUs is forked, again and again, in the middle of its
 * sums and of writes to a file system. Each child has a copy of the disk, which
 * was made while the parent was paused.
 *
 * @module
 */
import assert from "node:assert/strict";
import { KVM } from "../../../ffi/testing/needs.ts";
import { until } from "../../../ffi/testing/until.ts";
import { FULL_LINUX } from "../../../images/testing/prepared.ts";
import type { Machine } from "../../../vmm/machine.ts";
import type { Overrides } from "../../../vmm/snapshot/mod.ts";
import { LinuxGuest } from "../../../cli/testing/linux.ts";
import { command } from "../../../vmm/testing/mod.ts";
import { ownMemory } from "../../../vmm/testing/own_memory.ts";
import { NUMBERS, type Shell, sum, SUMS } from "../../../vmm/testing/sums.ts";
import { Twin } from "../../../vmm/testing/twin.ts";
import { type Campaign, Folder, spread } from "./campaign.ts";

const RAM = 96;
/** Writes are on their way to the disk all the time. */
const HASTE = "cd /proc/sys/vm; echo 5 > dirty_writeback_centisecs; " +
  "echo 5 > dirty_expire_centisecs; cd /mnt";
/** A line of the log for each file that is written anew. */
const FILES = "(while :; do i=$((i + 1)); echo $i $((i * i)) >> log; " +
  "echo $i $((i * i)) $i > f$((i % 16)); done) & true";
/** How many lines the log has, and how many of them are wrong. */
const LOG = "k() { awk '$1 != NR || $2 != NR * NR { bad++ } " +
  "END { print NR, bad + 0 }' /mnt/log; }";
/** Files with other numbers than were written; one may have been cut just now. */
const WRONG = "f() { e=0; for g in /mnt/f*; do a=; read a b c < $g; " +
  '[ "$a" ] || { e=$((e + 1)); continue; }; ' +
  '[ "$b $c" = "$((a * a)) $a" ] || echo $g: $a $b $c; done; ' +
  "[ $e -le 1 ] || echo $e are empty; }";
/** Whoever writes stops; nothing is in memory alone. */
const END = "kill $s $w; wait; cd /";

/** Children of a Linux under load. */
export const FORKS: Campaign = {
  rounds: 100,
  needs: [KVM, FULL_LINUX, "mke2fs", "e2fsck"],
  async run(rounds, say) {
    using folder = new Folder();
    const disk = `${folder.path}/disk`;
    await command("mke2fs", "-q", "-t", "ext4", disk, "32M");
    await using linux = await busy(disk);
    const born: number[] = [];
    const grown: number[] = [];
    const pauses: number[] = [];
    const { machine } = linux.test;
    let [summed, lines] = [await sum(linux), await logged(linux)];
    for (let round = 1; round <= rounds; round++) {
      const copy = `${folder.path}/copy`;
      const others = ownMemory(RAM);
      const mine = () =>
        [...ownMemory(RAM)].reduce(
          (sum, [at, own]) => others.has(at) ? sum : sum + own,
          0,
        );
      const start = performance.now();
      await machine.pause();
      await using child = await Twin.of((options) =>
        forked(machine, disk, copy, options)
      );
      pauses.push(performance.now() - start);
      born.push(mine());
      // The parent waits meanwhile: there are not cores enough for both.
      const [there, written] = [await sum(child), await logged(child)];
      assert.ok(there >= summed, `its sum: ${there} after ${summed}`);
      assert.ok(written >= lines, `its log: ${written} after ${lines}`);
      const seen = () => child.output;
      await until(async () => await sum(child) > there, "its sum", seen);
      await checkFiles(child);
      grown.push(mine());
      say(`child ${round}: sum of ${there}, ${mine().toFixed(1)} MiB`);
      await child.machine.stop();
      await command("e2fsck", "-fn", copy);
      await machine.resume();
      const more = async () => (summed = await sum(linux)) > there;
      await until(more, "the parent's sum", () => linux.test.output);
      lines = await logged(linux);
    }
    await checkFiles(linux);
    assert.deepEqual(linux.test.log, []);
    await linux.test.machine.stop();
    await command("e2fsck", "-fn", disk);
    return `${rounds} children and the parent: sums right, logs and files ` +
      `whole, e2fsck clean; pause with the disk's copy ${spread(pauses)} ms; ` +
      `RAM of a child's own ${spread(born, 1)} MiB at birth, ` +
      `${spread(grown, 1)} at its end`;
  },
};

async function busy(disk: string): Promise<LinuxGuest> {
  const linux = await LinuxGuest.boot({
    "machine-config": { mem_size_mib: RAM, vcpu_count: 2 },
    drives: [{ drive_id: "data", path_on_host: disk, is_root_device: false }],
    entropy: {},
  }, "console=ttyS0 clocksource=kvm-clock");
  const lines = [
    "dmesg -n 1",
    NUMBERS,
    LOG,
    WRONG,
    "mount -t ext4 -o commit=1 /dev/vdb /mnt",
    HASTE,
    "touch log", // it may be looked at before its first line
  ];
  for (const line of [...lines, SUMS, "s=$!", FILES, "w=$!"]) {
    assert.equal(await linux.run(line), "");
  }
  const seen = () => linux.test.output;
  await until(async () => await logged(linux) > 100, "writes", seen);
  return linux;
}

/** A fork of a machine that is paused, with a copy of its disk. */
async function forked(
  parent: Machine,
  disk: string,
  copy: string,
  options: Parameters<Machine["fork"]>[1],
): Promise<Machine> {
  await command("cp", "--reflink=auto", "--sparse=always", disk, copy);
  const overrides = { drives: [{ drive_id: "data", path_on_host: copy }] };
  return await parent.fork(overrides as Overrides, options);
}

/** How many lines the log has; all of them are right. */
async function logged(guest: Shell): Promise<number> {
  const line = await guest.run("k");
  const [lines, wrong] = line.split(" ").map(Number);
  assert.equal(wrong, 0, line);
  return lines!;
}

/** The files, as the guest knows them, and once more as they are on the disk. */
async function checkFiles(guest: Shell): Promise<void> {
  await guest.run(END);
  await guest.run(":"); // the shell tells of it
  const lines = await logged(guest);
  assert.equal(await guest.run("f"), "");
  assert.equal(
    await guest.run("umount /mnt && mount -t ext4 /dev/vdb /mnt"),
    "",
  );
  assert.equal(await logged(guest), lines, "on the disk");
  assert.equal(await guest.run("f; umount /mnt"), "");
}
