/** Block devices as the prepared Linux sees them. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { MiB } from "../../guest/layout.ts";
import { LINUX } from "../../images/testing/prepared.ts";
import { LinuxGuest } from "../../cli/testing/linux.ts";
import { until } from "../../ffi/testing/until.ts";
import { ScratchFile } from "../testing/mod.ts";

/** A disk for the guest. */
function drive(path: string) {
  return { drive_id: "data", path_on_host: path, is_root_device: false };
}

Deno.test(needing([KVM, LINUX], {
  name: "Linux: blkdiscard makes a hole; a disk's new size is seen; " +
    "its write cache is chosen",
  async fn(t) {
    using disk = new ScratchFile(8 * MiB);
    Deno.writeFileSync(disk.path, new Uint8Array(8 * MiB).fill(0x55));
    const blocks = () => Deno.statSync(disk.path).blocks!;
    await using guest = await LinuxGuest.boot({
      "machine-config": { mem_size_mib: 64 },
      drives: [drive(disk.path)],
    });
    // By the shell itself: a process is much work for emulated kernel code.
    const queue = (name: string) =>
      guest.run(`read -r x </sys/block/vdb/${name}; echo "$x"`);

    await t.step("discard: the room goes back to the host", async () => {
      const before = blocks();
      await guest.run("blkdiscard -o 1048576 -l 4194304 /dev/vdb");
      assert.ok(blocks() <= before - 4 * MiB / 512, `${before} ${blocks()}`);
      const bytes = Deno.readFileSync(disk.path);
      assert.ok(bytes.subarray(MiB, 5 * MiB).every((byte) => byte === 0));
      assert.ok(bytes.subarray(0, MiB).every((byte) => byte === 0x55));
      assert.ok(bytes.subarray(5 * MiB).every((byte) => byte === 0x55));
    });
    await t.step("write zeroes: the limit is the device's", async () => {
      assert.equal(await queue("queue/write_zeroes_max_bytes"), "1073741824");
      assert.equal(await queue("queue/discard_granularity"), "4096");
      assert.equal(await queue("queue/physical_block_size"), "4096");
    });
    await t.step("the size: by an interrupt, without a reboot", async () => {
      assert.equal(await queue("size"), `${8 * MiB / 512}`);
      Deno.truncateSync(disk.path, 12 * MiB);
      assert.equal(await guest.test.machine.resizeDrive("data"), 12 * MiB);
      await until(
        async () => await queue("size") === `${12 * MiB / 512}`,
        "new size in the guest",
      );
      await guest.run("echo at the end | dd of=/dev/vdb bs=1M seek=11; sync");
      const end = Deno.readFileSync(disk.path).subarray(11 * MiB);
      assert.equal(
        new TextDecoder().decode(end.subarray(0, 11)),
        "at the end\n",
      );
    });
    await t.step(
      "the write cache: write-back, until it is changed",
      async () => {
        assert.equal(await queue("cache_type"), "write back");
        await guest.run("echo write through > /sys/block/vdb/cache_type");
        assert.equal(await queue("cache_type"), "write through");
        await guest.run("echo durable | dd of=/dev/vdb bs=512 oflag=direct");
        const start = Deno.readFileSync(disk.path).subarray(0, 7);
        assert.equal(new TextDecoder().decode(start), "durable");
      },
    );
  },
}));
