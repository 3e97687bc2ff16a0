/** A disk's rate limits, against the clock: both at once. */
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
      boot_args: `bench=blk-randread qd=8 wait=irq ms=${SECONDS * 1000}`,
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

Deno.test(needing([KVM], {
  name: "Machine: a disk's limits hold over ten seconds",
  async fn() {
    const [operations, bandwidth] = await Promise.all([
      reads({ ops: { size: 1000, refill_time: 1000 } }),
      reads({ bandwidth: { size: MiB, refill_time: 1000 } }),
    ]);
    for (
      const [count, perSecond] of [[operations, 1000], [bandwidth, MiB / 4096]]
    ) {
      // The bucket is full at the start: a second's worth on top.
      const allowed = perSecond! * (SECONDS + 1);
      assert.ok(count! <= allowed * 1.05, `${count} of ${allowed}`);
      // A crowded host may be slower than the limit; but the bucket, which is
      // a tenth of that at its start, is filled again.
      assert.ok(count! >= allowed * 0.2, `${count} of ${allowed}`);
    }
  },
}));
