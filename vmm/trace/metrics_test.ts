/** What is always counted: against what the guest says it has done. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { readPayload } from "../../images/payload/payload.ts";
import { ScratchFile, TestMachine } from "../testing/mod.ts";
import { LATENCY_BUCKETS, latencyBucket, requestType } from "./layout.ts";

const payload = await readPayload();

for (const transport of ["mmio", "pci"] as const) {
  Deno.test(needing([KVM], {
    name:
      `metrics: exits, doorbells and requests over ${transport}, to the end`,
    async fn() {
      using disk = new ScratchFile(8 << 20);
      await using test = await TestMachine.create({
        "boot-source": {
          kernel_image_path: payload,
          boot_args: "bench=blk-randread,blk-randwrite ms=100 wait=irq",
        },
        "machine-config": { mem_size_mib: 64, transport },
        drives: [
          { drive_id: "d0", path_on_host: disk.path, is_root_device: false },
        ],
      });
      const before = await test.machine.metrics();
      assert.deepEqual(before.vcpus, [{ exits: {} }]);
      assert.equal(before.memory, 64 << 20);
      const { output } = await test.run();
      assert.match(output, /^payload: ok/m);
      const { vcpus, devices: [d0] } = await test.machine.metrics();
      const sum = Object.values(vcpus[0]!.exits).reduce((a, b) => a + b);
      assert.equal(sum, test.machine.exits);
      assert.ok(vcpus[0]!.exits.io! > 0 && vcpus[0]!.exits.mmio! > 0);

      const { name, kind, activations, needsReset, inFlight } = d0!;
      assert.deepEqual(
        { name, kind, activations, needsReset, inFlight },
        {
          ...{ name: "d0", kind: "block", activations: 2 },
          ...{ needsReset: 0, inFlight: 0 },
        },
      );
      const said = [...output.matchAll(/^bench: .*$/gm)].map(([line]) =>
        Object.fromEntries(
          [...line.matchAll(/(\w+)=(\d+)/g)].map(([, key, n]) => [key, +n!]),
        )
      ) as Record<string, number>[];
      const { read, write } = d0!.requests;
      for (const [index, ended] of [read!, write!].entries()) {
        // It stops counting at its time, with one request in flight.
        const { ops } = said[index]!;
        assert.ok(
          ended.requests === ops || ended.requests === ops! + 1,
          `${ended.requests} requests, and the guest counts ${ops}`,
        );
        assert.equal(ended.bytes, ended.requests * 4096);
        assert.equal(ended.errors, 0);
        assert.equal(ended.latencies.length, LATENCY_BUCKETS);
        const all = ended.latencies.reduce((a, b) => a + b);
        assert.equal(all, ended.requests);
        assert.ok(ended.seconds > 0 && ended.seconds < 60, `${ended.seconds}`);
      }
      const [queue] = d0!.queues;
      assert.equal(queue!.chains, read!.requests + write!.requests);
      const doorbells = said[0]!.doorbells! + said[1]!.doorbells!;
      const seen = queue!.doorbells + queue!.polls;
      const state = `${JSON.stringify(queue)}, rung ${doorbells} times`;
      assert.ok(queue!.doorbells <= doorbells && seen > 0, state);
      const interrupts = said[0]!.interrupts! + said[1]!.interrupts!;
      assert.ok(queue!.interrupts >= interrupts, state);
    },
  }));
}

Deno.test("metrics: a latency is in the bucket of the next power of two", () => {
  const of = (microseconds: number) => latencyBucket(microseconds * 1000);
  assert.deepEqual([0, 0.5, 1, 1.001, 2, 2.5, 4, 5].map(of), [
    ...[0, 0, 0, 1, 1, 2, 2, 3],
  ]);
  const last = LATENCY_BUCKETS - 1;
  assert.equal(of(2 ** (last - 1)), last - 1);
  assert.equal(of(2 ** (last - 1) + 1), last);
  assert.equal(of(1e15), last);
  assert.equal(of(-1), 0);
});

Deno.test("metrics: whatever a driver calls a request, it has a place", () => {
  const other = requestType(2);
  for (const type of [3, 15, 16, 255, 0xffff_ffff]) {
    assert.equal(requestType(type), other);
  }
  assert.notEqual(requestType(0), other);
});
