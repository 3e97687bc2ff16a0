/** A test of a kernel: deno test -A examples/lab/tmpfs_limit.ts */
import assert from "node:assert/strict";
import { Machine, prepare, prepared } from "../../mod.ts";

const { kernel, rootfs } = await prepared() ?? await prepare();

Deno.test("tmpfs: a file system of 64 KiB takes no more", async () => {
  await using machine = await Machine.create({
    "boot-source": { kernel_image_path: kernel, boot_args: "quiet panic=-1" },
    drives: [{
      drive_id: "root",
      path_on_host: rootfs,
      is_root_device: true,
      is_read_only: true,
    }],
    console: { agent: true },
  });
  machine.start();
  await machine.exec("mount -t tmpfs -o size=64k none /mnt");
  const bytes = new Uint8Array(100_000);
  const full = await machine.exec("cat >/mnt/file", { stdin: bytes });
  assert.match(full.errorText(), /No space left on device/);
  const size = await machine.exec(["stat", "-c", "%s", "/mnt/file"]);
  assert.equal(size.text(), "65536\n");
});
