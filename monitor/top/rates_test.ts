/** Rates are differences. */
import assert from "node:assert/strict";
import type { MachineMetrics } from "../../vmm/trace/metrics.ts";
import { ratesBetween } from "./rates.ts";

const queue = (frameBytes: number, doorbells: number) => ({
  ...{ doorbells, polls: 0, chains: 0, interrupts: 0, frames: 0 },
  ...{ frameBytes, lostFrames: 0 },
});

function metrics(
  io: number,
  requests: number,
  latencies: number[],
  frameBytes: number,
): MachineMetrics {
  const all = {
    ...{ inFlight: 0, configInterrupts: 0, activations: 1, resets: 0 },
    ...{ needsReset: 0, throttled: 0 },
  };
  const read = { requests, bytes: requests * 512, errors: 1, seconds: 0 };
  return {
    memory: 0,
    vcpus: [{ exits: { io, mmio: 7 } }],
    devices: [
      {
        ...{ ...all, name: "d0", kind: "block", inFlight: 3 },
        queues: [queue(0, io)],
        requests: { read: { ...read, latencies } },
      },
      {
        ...{ ...all, name: "eth0", kind: "net", requests: {} },
        queues: [queue(frameBytes, 0), queue(3 * frameBytes, 0)],
      },
    ],
  };
}

Deno.test("rates: of exits, requests, bytes and latencies, in a second", () => {
  const before = metrics(100, 1000, [900, 100, 0, 0], 0);
  const after = metrics(300, 1200, [1000, 199, 1, 0], 50);
  const { exits, vcpus, devices: [d0, eth0] } = ratesBetween(before, after, 2);
  assert.equal(exits, 100);
  assert.deepEqual(vcpus, [[["io", 100]]]);
  assert.deepEqual(d0, {
    ...{ name: "d0", kind: "block", doorbells: 100, interrupts: 0 },
    ...{ operations: 100, read: 51200, written: 0, errors: 0, inFlight: 3 },
    latency: 2e-6,
  });
  assert.deepEqual([eth0!.read, eth0!.written], [25, 75]);
  assert.equal(eth0!.latency, undefined);
  const slow = metrics(300, 1300, [1000, 199, 1, 100], 50);
  assert.equal(ratesBetween(after, slow, 1).devices[0]!.latency, Infinity);
  const none = ratesBetween(after, after, 1);
  assert.deepEqual([none.exits, none.devices[0]!.latency], [0, undefined]);
});
