import assert from "node:assert/strict";
import { appletPaths } from "./rootfs.ts";

Deno.test("rootfs: busybox's programs, except those that are ours", () => {
  const list = "bin/ash\nbin/busybox\nsbin/init\nlinuxrc\nusr/bin/env\n";
  assert.deepEqual(appletPaths(list), ["bin/ash", "usr/bin/env"]);
});
