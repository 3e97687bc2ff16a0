/**
 * Linux suspends to idle: its drivers reset every virtio device and set it up
 * anew (`freeze` and `restore`), with I/O before, across and after.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { MiB } from "../guest/layout.ts";
import { prepared } from "../images/linux/prepare.ts";
import { FULL_LINUX } from "../images/testing/prepared.ts";
import { LinuxGuest } from "../cli/testing/linux.ts";
import { ScratchFile } from "./testing/mod.ts";

const DATA_SIZE = 128 * 1024, COPY_AT = 8 * 64 * 1024;
/**
 * Reads the disk's data and writes them where the host looks: no emulated kernel
 * code passes each byte on to another program, which looks in the guest.
 */
const COPY = "dd if=/dev/vdb of=/dev/vdb bs=64k count=2 seek=8 iflag=direct " +
  "oflag=direct 2>/dev/null; echo $?";
const WAKEUP = "/sys/devices/pnp0/00:00/tty/ttyS0/power/wakeup";
/**
 * Reads the start of the disk, writes behind it, and flushes, for ever. Each
 * program costs the guest's emulated kernel a quarter of a second.
 */
const LOAD = `(while :; do
  dd if=/dev/vdb of=/dev/vdb bs=32k count=2 seek=40 iflag=direct conv=fsync
  read -r -n 16 random < /dev/hwrng
  i=$((i + 1)); echo $i > /run/count; echo $i >&9
done 2>/dev/null) & true`;
/** How many times it did, and once more; it waits without a turn of its own. */
const PROGRESS = `progress() {
  until read before < /run/count; do :; done 2> /dev/null
  until read after <&9; [ $after -gt $before ]; do :; done
  echo $before $after
}; echo 0 > /run/count; mkfifo /run/counts; exec 9<> /run/counts`;
const SUSPENDED = "read n < /sys/power/suspend_stats/success; echo $n";

for (const transport of ["mmio", "pci"] as const) {
  Deno.test(needing([KVM, FULL_LINUX], {
    name:
      `Linux: suspends to idle and wakes up, its I/O whole, over ${transport}`,
    async fn() {
      using disk = new ScratchFile(2 * MiB);
      const data = randomBytes(DATA_SIZE);
      using file = Deno.openSync(disk.path, { write: true });
      file.writeSync(data);
      await using guest = await LinuxGuest.boot(
        {
          "machine-config": { mem_size_mib: 64, transport },
          drives: [{
            drive_id: "data",
            path_on_host: disk.path,
            is_root_device: false,
          }],
          entropy: {},
          balloon: { amount_mib: 0, deflate_on_oom: false },
        },
        "console=ttyS0 clocksource=kvm-clock suspend.pm_test_delay=0",
        { kernel: (await prepared("full"))!.kernel },
      );
      const whole = async () => {
        file.seekSync(COPY_AT, Deno.SeekMode.Start);
        file.writeSync(new Uint8Array(DATA_SIZE));
        assert.equal(await guest.run(COPY), "0");
        const copy = Deno.readFileSync(disk.path)
          .subarray(COPY_AT, COPY_AT + DATA_SIZE);
        assert.ok(data.equals(copy), "the guest has read what is there");
      };
      const suspended = async () => Number(await guest.run(SUSPENDED));
      const progress = async () => {
        const said = await guest.run("progress");
        const [before, after] = said.split(" ").map(Number);
        assert.ok(after! > before!, said);
      };
      await whole();
      await guest.run(PROGRESS);
      await guest.run(LOAD);
      await progress();

      // The devices' part of it, which ends by itself.
      await guest.run("echo devices > /sys/power/pm_test");
      assert.equal(
        await guest.run("echo freeze > /sys/power/state; echo $?"),
        "0",
      );
      await progress();
      await whole();

      // All of it: until something is typed.
      await guest.run(
        `echo none > /sys/power/pm_test; echo enabled > ${WAKEUP}`,
      );
      const before = await suspended();
      let awake = false;
      // A key that comes before it sleeps takes that back: it tries again.
      const woken = guest.run(
        "until echo freeze > /sys/power/state; do :; done 2>/dev/null; echo $?",
      );
      woken.then(() => awake = true);
      await new Promise((resolve) => setTimeout(resolve, 2000));
      assert.ok(!awake, "it sleeps until it is woken");
      for (let pause = 500; !awake; pause *= 2) { // long enough to fall asleep
        guest.type("\n");
        await Promise.race([
          woken,
          new Promise((resolve) => setTimeout(resolve, pause)),
        ]);
      }
      assert.equal(await woken, "0");
      assert.equal(await suspended(), before + 1);
      await progress();
      await whole();
    },
  }));
}
