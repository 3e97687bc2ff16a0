/** `vireo gdb`: what it gives to gdb. */
import assert from "node:assert/strict";
import { vmlinuxOf } from "./gdb.ts";

Deno.test("vireo gdb: a kernel's vmlinux, also of a bzImage in its own folder", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const boot = `${folder}/arch/x86/boot`;
    Deno.mkdirSync(boot, { recursive: true });
    const [bzImage, vmlinux] = [`${boot}/bzImage`, `${folder}/vmlinux`];
    Deno.writeTextFileSync(bzImage, "MZ");
    assert.equal(vmlinuxOf(bzImage), undefined);
    Deno.writeTextFileSync(vmlinux, "\x7fELF");
    assert.equal(vmlinuxOf(bzImage), vmlinux);
    assert.equal(vmlinuxOf(vmlinux), vmlinux);
    assert.equal(vmlinuxOf(`${folder}/none`), undefined);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
