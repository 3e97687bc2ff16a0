/** Words for kernels that don't know of emulating hosts. */
import assert from "node:assert/strict";
import { KernelCommandLine } from "../guest/boot/cmdline.ts";
import { cacheFolder } from "../images/linux/cache.ts";
import {
  addHostCmdline,
  hostCmdline,
  isPrepared,
  stockCmdline,
} from "./kernel_quirks.ts";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { knownHost } from "../probe/known_host.ts";

const cmdline = (text: string) => new KernelCommandLine(text);

Deno.test("hostCmdline: only for emulating hosts, and never against the user", () => {
  const refused = ["XSAVE", "POPCNT", "CLAC", "STAC", "INT3", "CMPXCHG16B"];
  const host = { emulatesKernel: true, refused };
  const words = (given: string) => hostCmdline(host, cmdline(given)).join(" ");
  assert.equal(words("quiet"), "clearcpuid=137,141,151,297,308,580");
  assert.equal(words("clearcpuid=1"), "");
  const elsewhere = 'VIREO_EXEC="echo clearcpuid=1" -- clearcpuid=2';
  assert.equal(words(elsewhere), words("quiet"), "not the kernel's");
  assert.deepEqual(
    hostCmdline({ emulatesKernel: true, refused: [] }, cmdline("")),
    ["clearcpuid=137,297,580"],
  );
  assert.deepEqual(
    hostCmdline({ emulatesKernel: false, refused }, cmdline("")),
    [],
  );
});

Deno.test("stockCmdline: more of them, and only for emulating hosts", () => {
  const host = { emulatesKernel: true, refused: ["XSAVE"] };
  const words = stockCmdline(host, cmdline("quiet"));
  assert.deepEqual(words.slice(0, 1), ["clearcpuid=137,297,580"]);
  assert.ok(words.includes("nokaslr"));
  const real = { emulatesKernel: false, refused: [] };
  assert.deepEqual(stockCmdline(real, cmdline("")), []);
});

Deno.test("addHostCmdline: a prepared kernel keeps its command line", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  const before = Deno.env.get("XDG_CACHE_HOME");
  Deno.env.set("XDG_CACHE_HOME", dir);
  try {
    const kernel = `${cacheFolder()}/vmlinux-0`;
    Deno.mkdirSync(cacheFolder());
    Deno.writeTextFileSync(kernel, "");
    Deno.symlinkSync(kernel, `${dir}/link`);
    for (const kernel_image_path of [kernel, `${dir}/link`]) {
      const source = { kernel_image_path, boot_args: "quiet" };
      assert.equal(await addHostCmdline({ "boot-source": source }), undefined);
      assert.equal(source.boot_args, "quiet");
    }
    Deno.mkdirSync(`${cacheFolder()}/debian`);
    const stock = `${cacheFolder()}/debian/vmlinuz`;
    Deno.writeTextFileSync(stock, "");
    assert.equal(await isPrepared(stock), false);
    assert.equal(await isPrepared(`${dir}/none`), false);
  } finally {
    if (before === undefined) Deno.env.delete("XDG_CACHE_HOME");
    else Deno.env.set("XDG_CACHE_HOME", before);
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test(needing([KVM], {
  name: "addHostCmdline: another kernel gets what this host calls for",
  async fn() {
    const source = { kernel_image_path: "vmlinux", boot_args: "quiet" };
    const line = await addHostCmdline({ "boot-source": source });
    const words = hostCmdline(await knownHost(cacheFolder()), cmdline("quiet"));
    assert.equal(source.boot_args, ["quiet", ...words].join(" "));
    if (words.length === 0) assert.equal(line, undefined);
    else assert.ok(line?.endsWith(words.join(" ")), line);
  },
}));
