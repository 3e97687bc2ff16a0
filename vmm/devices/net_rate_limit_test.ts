/** A network interface's rate limits, against the clock: all at once. */
import assert from "node:assert/strict";
import type { RateLimits } from "../../devices/runtime/rate_limiter.ts";
import { payloadPath } from "../../images/payload/payload.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { runMachine } from "../testing/mod.ts";

const SECONDS = 10;
/** With its virtio header of 12 bytes, a frame is 1 KiB. */
const FRAME = 1012;
/** Few: each costs the guest its interrupt, and all four run at once. */
const PER_SECOND = 250;
/** A tenth of a second's worth, which the guest has at once. */
const BURST = PER_SECOND / 10;
const ops = { size: BURST, refill_time: 100 };
const bandwidth = { size: 1024 * BURST, refill_time: 100 };

/**
 * Whoever connects to `path` gets frames as fast as it takes them, or gets
 * rid of its own as fast as it can.
 */
function peer(path: string, direction: "rx" | "tx"): Disposable {
  const listener = Deno.listen({ transport: "unix", path });
  const frame = new Uint8Array(4 + FRAME);
  new DataView(frame.buffer).setUint32(0, FRAME);
  const frames = new Uint8Array(64 * frame.length);
  for (let at = 0; at < frames.length; at += frame.length) {
    frames.set(frame, at);
  }
  const serve = async () => {
    using connection = await listener.accept();
    if (direction === "tx") { while (await connection.read(frames) !== null); }
    for (let at = 0;; at %= frames.length) {
      at += await connection.write(frames.subarray(at)); // or a part of it
    }
  };
  serve().catch(() => {}); // the machine has ended
  return listener;
}

/** Frames that the payload counts in ten seconds. */
async function frames(
  direction: "rx" | "tx",
  limits: RateLimits,
): Promise<number> {
  const path = Deno.makeTempFileSync({ prefix: "vireo-test-" });
  Deno.removeSync(path);
  using _peer = peer(path, direction);
  const { output } = await runMachine({
    "boot-source": {
      kernel_image_path: payloadPath.pathname,
      boot_args: `bench=net-${direction} qd=64 frame=${FRAME} wait=irq ` +
        `seconds=${SECONDS}`,
    },
    "machine-config": { mem_size_mib: 32 },
    "network-interfaces": [{
      iface_id: direction,
      socket: path,
      [`${direction}_rate_limiter`]: limits,
    }],
  });
  const operations = / ops=(\d+) /.exec(output)?.[1];
  assert.ok(operations, output);
  return Number(operations);
}

Deno.test(needing([KVM], {
  name: "Machine: an interface's limits hold over ten seconds",
  async fn() {
    const counts = await Promise.all([
      frames("rx", { ops }),
      frames("rx", { bandwidth }),
      frames("tx", { ops }),
      frames("tx", { bandwidth }),
    ]);
    const allowed = PER_SECOND * SECONDS + BURST;
    const message = `${counts} of ${allowed}`;
    for (const count of counts) {
      assert.ok(count <= allowed * 1.05, message);
      // A crowded host may be slower than the limit; but the bucket, which is
      // a hundredth of that at its start, is filled again and again.
      assert.ok(count >= allowed * 0.2, message);
    }
  },
}));
