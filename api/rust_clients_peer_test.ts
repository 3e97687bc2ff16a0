/** Clients of Firecracker in Rust: their own tests, unmodified, with Vireo. */
import assert from "node:assert/strict";
import { KVM, needing, root } from "../ffi/testing/needs.ts";
import { LINUX } from "../images/testing/prepared.ts";
import { crateTests } from "./testing/crate.ts";
import { JailedFiles } from "./testing/jails.ts";

const BIN = new URL("../bin/", import.meta.url).pathname;
const NEEDS = [KVM, LINUX, root("makes jails"), "cargo", "rustc"];

/** Sockets of firecracker-rs-sdk's tests: one that was killed leaves them. */
function removeSockets(): void {
  for (const { name } of Deno.readDirSync("/tmp")) {
    if (/^firecracker-sdk-.*\.socket$/.test(name)) {
      Deno.removeSync(`/tmp/${name}`);
    }
  }
}

Deno.test(needing(NEEDS, {
  name:
    "API client: firecracker-rs-sdk's own tests, plain and jailed, from crates.io as they are",
  async fn() {
    removeSockets();
    using files = new JailedFiles();
    await files.guest("kernel", "rootfs");
    const run = await crateTests({
      name: "firecracker-rs-sdk",
      version: "0.1.0",
      features: "_rt-std",
      lock: new URL("testing/firecracker-rs-sdk.lock", import.meta.url),
    });
    const { passed, failed, text } = await run({
      args: ["--test-threads=1"],
      env: {
        FIRECRACKER: `${BIN}firecracker`,
        JAILER: `${BIN}jailer`,
        KERNEL: `${files.folder}/kernel`,
        ROOTFS: `${files.folder}/rootfs`,
      },
    });
    assert.deepEqual(failed, [], text);
    assert.equal(passed, 9, text);
    assert.deepEqual(files.left, [], "in jails");
  },
}));
