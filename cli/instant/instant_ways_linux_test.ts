/**
 * Other ways to a machine that goes on from where it asked: a kernel of one's own,
 * a snapshot taken there, a configuration file.
 */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { prepared } from "../../images/linux/prepare.ts";
import { LINUX } from "../../images/testing/prepared.ts";
import { vireo, type VireoResult } from "../../vmm/testing/command.ts";
import { InstantCache } from "../testing/instant_cache.ts";

Deno.test(needing([KVM, LINUX], {
  name: "instant boot: a kernel of one's own with --instant, as it was",
  async fn() {
    using cache = await InstantCache.make();
    const disk = `${cache.dir}/disk`;
    Deno.writeTextFileSync(disk, "a disk\n");
    Deno.truncateSync(disk, 1 << 20);
    const kernel = `${cache.dir}/vmlinux`;
    Deno.copyFileSync((await prepared())!.kernel, kernel);
    const args = [
      ...[kernel, "--root", "busybox", "--instant", "--quiet"],
      ...["--disk", `${disk},ro`],
      ...["--exec", 'read -r a < /dev/vdb; echo "$a"; exit 5'],
    ];
    const [cold, instant] = await cache.twice(() => args);
    assert.deepEqual(cold, { code: 5, stdout: "a disk\n", stderr: "" });
    assert.deepEqual(instant, cold);
    Deno.writeTextFileSync(disk, "another\n");
    Deno.truncateSync(disk, 1 << 20);
    const changed = await cache.boot(args);
    assert.deepEqual(changed, { code: 5, stdout: "another\n", stderr: "" });
    const own = await cache.boot(["--root", disk, "--instant"]);
    assert.match(
      own.stderr,
      /^vireo: --instant: needs the prepared root image/,
    );
  },
}));

Deno.test(needing([KVM, LINUX], {
  name: "instant boot: saved at the rendezvous, it is told what to do later",
  async fn() {
    using cache = await InstantCache.make();
    const [saved, disk] = [`${cache.dir}/saved`, `${cache.dir}/disk`];
    Deno.writeTextFileSync(disk, "a disk\n");
    Deno.truncateSync(disk, 1 << 20);
    const { code, stdout, stderr } = await cache.boot([
      ...["--quiet", "--disk", `${disk},ro`],
      ...["--snapshot-on", "rendezvous", saved, "--exec", "echo first; exit 1"],
    ]);
    assert.equal(stdout, "first\n", stderr);
    assert.equal(code, 1);
    assert.match(stderr, /^vireo: saved in .*saved; it goes on with: /);
    for (const turn of [2, 3]) {
      const commands =
        `echo ${turn}; read -r a < /dev/vdb; echo "$a"; exit ${turn}`;
      const args = ["restore", saved, "--quiet", "--exec", commands];
      const result = await vireo(args, undefined, cache.env);
      const stdout = `${turn}\na disk\n`;
      assert.deepEqual(result, { code: turn, stdout, stderr: "" });
    }
    const wrong = ["--root", "none", "--snapshot-on", "rendezvous", saved];
    const other = await cache.boot(wrong);
    assert.match(
      other.stderr,
      /^vireo: --snapshot-on rendezvous .*: only the /,
    );
  },
}));

Deno.test(needing([KVM, LINUX], {
  name: "instant boot: a file's machine, unless it is none of ours",
  async fn() {
    using cache = await InstantCache.make();
    const { kernel, rootfs } = (await prepared())!;
    const root = {
      drive_id: "root",
      path_on_host: rootfs,
      is_root_device: true,
      is_read_only: true,
    };
    const disk = `${cache.dir}/disk`;
    Deno.writeTextFileSync(disk, "a disk\n");
    Deno.truncateSync(disk, 1 << 20);
    const data = {
      ...{ drive_id: "data", path_on_host: disk },
      ...{ is_root_device: false, is_read_only: true },
    };
    const run = (boot_args: string, ...words: string[]) => {
      const file = `${cache.dir}/vm.json`;
      const config = {
        "boot-source": { kernel_image_path: kernel, boot_args },
        "machine-config": { vcpu_count: 1, mem_size_mib: 64 },
        drives: [data, root],
      };
      Deno.writeTextFileSync(file, JSON.stringify(config));
      const args = ["run", "--config", file, ...words];
      const input = "echo $((40 + 2)); head -n 1 /dev/vdb; nproc; tty\nexit\n";
      return vireo(args, input, cache.env);
    };
    const shown = ({ stdout }: VireoResult) =>
      stdout.slice(stdout.indexOf("/ #"));
    const first = await run("console=ttyS0 quiet");
    assert.match(
      first.stdout,
      /^42\r?\na disk\r?\n1\r?\n\/dev\/\w+\r?$/m,
      first.stderr,
    );
    const { memory } = cache;
    for (const words of [[], ["--instant"]]) {
      const result = await run("console=ttyS0 quiet", ...words);
      assert.equal(shown(result), shown(first), result.stderr);
      assert.equal(result.code, 0);
      assert.equal(cache.memory, memory, "kept again");
    }
    for (const own of ["VIREO_EXEC=true", "console=ttyS1", "init=/bin/sh"]) {
      const { code, stderr } = await run(`console=ttyS0 ${own}`, "--instant");
      assert.equal(code, 1);
      assert.match(stderr, /^vireo: --instant: only with the kernel and .*\n$/);
    }
  },
}));
