import assert from "node:assert/strict";
import { isBuildLine, recordsOf } from "./kernel.ts";
import { PATCHES } from "./kernel_recipe.ts";

Deno.test("kernel: a file that is made counts as progress", () => {
  assert(isBuildLine("  CC      init/main.o"));
  assert(isBuildLine("  HOSTCC  scripts/kconfig/conf.o"));
  assert(isBuildLine("  AR      built-in.a"));
});

Deno.test("kernel: other output is none", () => {
  assert(!isBuildLine("#"));
  assert(!isBuildLine("  note: in expansion of macro"));
  assert(!isBuildLine("make[1]: Entering directory"));
});

Deno.test("kernel: tar says how far it is, by whatever name it goes", () => {
  assert.equal(recordsOf("tar: 2000"), 2000);
  assert.equal(recordsOf("/usr/bin/tar: 133000"), 133000);
  assert.equal(recordsOf("tar: a: Cannot open: 2000"), undefined);
  assert.equal(recordsOf("patching file a"), undefined);
});

Deno.test("kernel: each patch says its licence first and names no machine", async () => {
  for (const name of PATCHES) {
    const patch = await Deno.readTextFile(new URL(name, import.meta.url));
    assert(patch.startsWith("SPDX-License-Identifier: GPL-2.0\n"), name);
    for (const line of patch.split("\n")) {
      if (/^(---|\+\+\+) /.test(line)) {
        assert.match(line, /^(--- a|\+\+\+ b)\/\S+$/, name);
      }
    }
  }
});

Deno.test("kernel: each change depends on what the host does, or costs nobody anything", async () => {
  const patch = await Deno.readTextFile(
    new URL("vireo.patch", import.meta.url),
  );
  assert(!/^\+.*(if \(0|#if 0)/m.test(patch));
});
