import assert from "node:assert/strict";
import { isBuildLine } from "./kernel.ts";

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

Deno.test("kernel: the patch says its licence first and names no machine", async () => {
  const patch = await Deno.readTextFile(
    new URL("vireo.patch", import.meta.url),
  );
  assert(patch.startsWith("SPDX-License-Identifier: GPL-2.0\n"));
  for (const line of patch.split("\n")) {
    if (/^(---|\+\+\+) /.test(line)) {
      assert.match(line, /^(--- a|\+\+\+ b)\/\S+$/);
    }
  }
});

Deno.test("kernel: each change depends on what the host does, or costs nobody anything", async () => {
  const patch = await Deno.readTextFile(
    new URL("vireo.patch", import.meta.url),
  );
  assert(!/^\+.*(if \(0|#if 0)/m.test(patch));
});
