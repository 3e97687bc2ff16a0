/** What apt says about a package. */
import assert from "node:assert/strict";
import { CLOUD_KERNEL } from "../../ffi/packages.ts";
import { parsePackage } from "./apt.ts";

Deno.test("parsePackage: name, version, and the names of what it needs", () => {
  const text = `Package: ${CLOUD_KERNEL}\nSource: linux-signed\n` +
    "Version: 6.1.192-2\nDepends: linux-image-6.1.0-56-cloud-amd64 " +
    "(= 6.1.192-2), kmod | module-init-tools\nDescription: x\n";
  assert.deepEqual(parsePackage(text), {
    name: CLOUD_KERNEL,
    version: "6.1.192-2",
    depends: ["linux-image-6.1.0-56-cloud-amd64", "kmod"],
  });
  assert.equal(parsePackage(""), undefined);
  assert.deepEqual(parsePackage("Package: a\nVersion: 1\n")?.depends, []);
});
