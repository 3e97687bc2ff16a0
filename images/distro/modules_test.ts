/** What is read out of a module's file, and the order of loading. */
import assert from "node:assert/strict";
import { VireoError } from "../../ffi/errno.ts";
import { needing } from "../../ffi/testing/needs.ts";
import {
  dependencies,
  moduleInfo,
  moduleName,
  readModules,
} from "./modules.ts";

/** An ELF file with nothing but a `.modinfo` section. */
function module(...info: string[]): Uint8Array {
  const names = new TextEncoder().encode("\0.shstrtab\0.modinfo\0");
  const text = new TextEncoder().encode(info.map((s) => `${s}\0`).join(""));
  const table = 64 + names.length + text.length;
  const file = new Uint8Array(table + 3 * 64);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46]);
  view.setBigUint64(0x28, BigInt(table), true);
  view.setUint16(0x3a, 64, true);
  view.setUint16(0x3c, 3, true);
  view.setUint16(0x3e, 1, true);
  const section = (index: number, name: number, at: number, size: number) => {
    view.setUint32(table + index * 64, name, true);
    view.setBigUint64(table + index * 64 + 0x18, BigInt(at), true);
    view.setBigUint64(table + index * 64 + 0x20, BigInt(size), true);
  };
  file.set(names, 64);
  file.set(text, 64 + names.length);
  section(1, 1, 64, names.length);
  section(2, 11, 64 + names.length, text.length);
  return file;
}

Deno.test("moduleInfo: the strings of .modinfo", () => {
  const info = moduleInfo(module("name=a", "depends=b-c,d"), "a");
  assert.deepEqual(info, ["name=a", "depends=b-c,d"]);
  assert.deepEqual(dependencies(info), ["b_c", "d"]);
  assert.deepEqual(dependencies(["depends="]), []);
  assert.deepEqual(dependencies([]), []);
});

Deno.test("moduleInfo: what is no module is an error, wherever it breaks", () => {
  const whole = module("name=a");
  assert.throws(() => moduleInfo(new Uint8Array(), "a"), VireoError);
  assert.throws(() => moduleInfo(new Uint8Array(500), "a"), VireoError);
  for (let size = 0; size < whole.length - 128; size += 7) {
    assert.throws(() => moduleInfo(whole.slice(0, size), "a"), VireoError);
  }
});

Deno.test("moduleName: as the kernel has it", () => {
  assert.equal(moduleName("/x/virtio-rng.ko"), "virtio_rng");
  assert.equal(moduleName("kernel/fs/ext4/ext4.ko.xz"), "ext4");
});

Deno.test(needing(["xz"], {
  name: "readModules: needed ones first, each once, compressed or not",
  async fn() {
    const root = await Deno.makeTempDir();
    try {
      await Deno.mkdir(`${root}/kernel/a/b`, { recursive: true });
      const write = (path: string, ...info: string[]) =>
        Deno.writeFile(`${root}/kernel/${path}`, module(...info));
      await write("a/top.ko", "depends=left,right");
      await write("a/left.ko", "depends=base-x");
      await write("a/b/right.ko", "depends=base_x");
      await write("base-x.ko", "depends=");
      await write("other.ko", "depends=");
      const { success } = await new Deno.Command("xz", {
        args: [`${root}/kernel/a/left.ko`],
      }).output();
      assert.ok(success);
      const modules = await readModules(root, ["top", "built_in", "base_x"]);
      assert.deepEqual(modules.map(({ name }) => name), [
        "base_x",
        "left",
        "right",
        "top",
      ]);
      assert.deepEqual(modules[1]!.data, module("depends=base-x"));
      await write("base-x.ko", "depends=top");
      await assert.rejects(readModules(root, ["top"]), /needs itself/);
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  },
}));
