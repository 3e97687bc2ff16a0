/** What becomes of devices, as metrics and traces have it. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { readPayload } from "../../images/payload/payload.ts";
import type { VmConfig } from "../config/types.ts";
import { ScratchFile, TestMachine } from "../testing/mod.ts";
import type { TraceEvent } from "./events.ts";

/** Runs a machine to its end, and returns what was seen of it. */
async function traced(words: string, rest: Partial<VmConfig>) {
  await using test = await TestMachine.create({
    "boot-source": { kernel_image_path: await readPayload(), boot_args: words },
    "machine-config": { mem_size_mib: 64 },
    ...rest,
  });
  const batches = await test.machine.traceBatches({
    types: ["step", "frame", "request"],
  });
  test.machine.start();
  const events: TraceEvent[] = [];
  for await (const batch of batches) events.push(...batch);
  const { devices } = await test.machine.metrics();
  return { events, devices, output: test.output };
}

Deno.test(needing([KVM], {
  name: "trace: a device that needs a reset says why; one with limits, when",
  async fn() {
    using first = new ScratchFile(8 << 20);
    using second = new ScratchFile(8 << 20);
    const drive = (drive_id: string, path_on_host: string) => ({
      ...{ drive_id, path_on_host, is_root_device: false },
    });
    const { events, devices, output } = await traced(
      // Many at once: however slow the guest is, they are more than the limit.
      "hostile=badtype hostile=loop bench=blk-randread qd=16 ms=50",
      {
        drives: [
          {
            ...drive("d0", first.path),
            rate_limiter: { ops: { size: 2, refill_time: 10 } },
          },
          drive("d1", second.path),
        ],
      },
    );
    assert.match(output, /^payload: ok/m);
    const steps = events.filter((event) => event.type === "step")
      .filter(({ device }) => device === "d0");
    const failed = steps.find(({ step }) => step === "needs-reset");
    assert.match(
      failed!.why,
      /^queue 0: readable descriptor after a writable one$/,
    );
    const count = (wanted: string) =>
      steps.filter(({ step }) => step === wanted).length;
    const [d0] = devices;
    assert.equal(count("needs-reset"), d0!.needsReset);
    assert.equal(count("reset"), d0!.resets);
    assert.equal(count("activated"), d0!.activations);
    assert.equal(count("throttled"), d0!.throttled);
    assert.ok(d0!.throttled > 0 && d0!.resets > 0, JSON.stringify(d0));
    // An unknown type is an error of its own.
    assert.ok(d0!.requests.other!.errors > 0);
    const errors = events.filter((event) =>
      event.type === "request" && event.device === "d0" && event.status! > 0
    );
    const counted = Object.values(d0!.requests)
      .reduce((sum, { errors }) => sum + errors, 0);
    const dropped = events.filter((event) =>
      event.type === "request" && event.status === undefined
    );
    assert.equal(errors.length + dropped.length, counted);
    assert.equal(d0!.inFlight, 0);
  },
}));

Deno.test(needing([KVM], {
  name: "trace: frames both ways, as the guest's pings",
  async fn() {
    const handler = new URL("../../examples/pong.ts", import.meta.url).href;
    const { events, devices: [eth0], output } = await traced(
      "demo ip=10.0.0.2 peer=10.0.0.1",
      { "network-interfaces": [{ iface_id: "eth0", handler }] },
    );
    assert.match(output, /^payload: ok/m, output);
    const [rx, tx] = eth0!.queues;
    // 20 pings polled and 20 by interrupt, and an ARP request or two.
    assert.ok(tx!.frames >= 40 && rx!.frames >= 40, JSON.stringify(eth0));
    assert.equal(rx!.lostFrames + tx!.lostFrames, 0);
    const frames = events.filter((event) => event.type === "frame");
    for (const [queue, counted] of [rx!, tx!].entries()) {
      const seen = frames.filter((event) => event.queue === queue);
      assert.equal(seen.length, counted.frames);
      const bytes = seen.reduce((sum, { bytes }) => sum + bytes, 0);
      assert.equal(bytes, counted.frameBytes);
      assert.ok(seen.every(({ bytes }) => bytes >= 14 && bytes <= 1514));
    }
  },
}));
