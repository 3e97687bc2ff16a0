/** A disk's rate limits, against the clock. */
import assert from "node:assert/strict";
import { MiB } from "../../guest/layout.ts";
import { payloadPath } from "../../images/payload/payload.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { runMachine, ScratchFile } from "../testing/mod.ts";
import type { RateLimits } from "../../devices/runtime/rate_limiter.ts";

const SECONDS = 10;

/** What the payload reads in ten seconds: operations, and bytes of each. */
async function reads(limits: RateLimits): Promise<number> {
  using disk = new ScratchFile(16 * MiB);
  const { output } = await runMachine({
    "boot-source": {
      kernel_image_path: payloadPath.pathname,
      boot_args: `bench=blk-randread qd=8 ms=${SECONDS * 1000}`,
    },
    "machine-config": { mem_size_mib: 32 },
    drives: [{
      drive_id: "data",
      path_on_host: disk.path,
      is_root_device: false,
      rate_limiter: limits,
    }],
  });
  const operations = / ops=(\d+) /.exec(output)?.[1];
  assert.ok(operations, output);
  return Number(operations);
}

for (
  const [name, limits, perSecond] of [
    ["operations", { ops: { size: 1000, refill_time: 1000 } }, 1000],
    [
      "bandwidth",
      { bandwidth: { size: 1024 * 1024, refill_time: 1000 } },
      1024 * 1024 / 4096,
    ],
  ] as const
) {
  Deno.test(needing([KVM], {
    name: `Machine: a disk's limit of ${name} holds over ten seconds`,
    async fn() {
      const operations = await reads(limits);
      // The bucket is full at the start: a second's worth on top.
      const allowed = perSecond * (SECONDS + 1);
      assert.ok(operations <= allowed * 1.05, `${operations} of ${allowed}`);
      // A crowded host may be slower than the limit; but the bucket, which is
      // a tenth of that at its start, is filled again.
      assert.ok(operations >= allowed * 0.2, `${operations} of ${allowed}`);
    },
  }));
}
