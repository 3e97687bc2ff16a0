/** Debian's kernel package, fetched and unpacked; needs Debian's mirror. */
import assert from "node:assert/strict";
import { needing } from "../../ffi/testing/needs.ts";
import { compressionOf } from "../../guest/kernel/compression.ts";
import { prepareDebian } from "./debian.ts";
import { APT } from "../testing/distro.ts";

Deno.test(needing([APT, "xz", "cpio"], {
  name: "prepareDebian: a kernel and the modules that virtio needs",
  async fn() {
    const shown: string[] = [];
    const output = {
      write: (text: string) => void shown.push(text),
      columns: () => undefined,
    };
    const debian = await prepareDebian({ output });
    assert.match(debian.version, /^linux-image-\d.*-cloud-amd64 \d/);
    const kernel = await Deno.readFile(debian.kernel);
    const setup = new DataView(kernel.buffer);
    assert.equal(setup.getUint32(0x202, true), 0x53726448, "HdrS");

    const { stdout } = await new Deno.Command("cpio", {
      args: ["-t", "--quiet", "-F", debian.initrd],
    }).output();
    const files = new TextDecoder().decode(stdout).trim().split("\n");
    for (const path of ["init", "bin/busybox", "bin/sh", "dev/console"]) {
      assert.ok(files.includes(path), path);
    }
    const order = files.filter((path) => path.endsWith(".ko"))
      .map((path) => path.slice("modules/".length, -".ko".length));
    for (
      const [before, after] of [
        ["virtio", "virtio_mmio"],
        ["virtio_ring", "virtio_mmio"],
        ["virtio_mmio", "virtio_blk"],
        ["net_failover", "virtio_net"],
        ["vsock", "vmw_vsock_virtio_transport"],
      ] as const
    ) {
      const first = order.indexOf(before);
      assert.ok(first >= 0 && first < order.indexOf(after), after);
    }
    assert.equal(compressionOf(await Deno.readFile(debian.initrd)), undefined);

    // The second time nothing is fetched, asked or said.
    shown.length = 0;
    assert.deepEqual(await prepareDebian({ output }), debian);
    assert.deepEqual(shown, []);
  },
}));

Deno.test("prepareDebian: a cache that can't be written is named", async () => {
  const file = Deno.makeTempFileSync({ prefix: "vireo-test-" });
  try {
    await assert.rejects(prepareDebian({ folder: `${file}/debian` }), {
      name: "VireoError",
      message: `${file}/debian can't be written: ENOTDIR; with ` +
        "XDG_CACHE_HOME it can be another folder",
    });
  } finally {
    Deno.removeSync(file);
  }
});
