/** Faults of frames: wrong bits and stalls, both ways. */
import assert from "node:assert/strict";
import { MiB } from "../../guest/layout.ts";
import { GuestMemory } from "../../guest/memory.ts";
import { bytesOf, gather, iovecParts } from "../../ffi/iovec_parts.ts";
import type { Frame } from "../backends/net/backend.ts";
import { MemoryNet } from "../backends/testing/net.ts";
import { NET_HEADER_SIZE, NetQueue } from "../virtio/net/spec.ts";
import {
  assertFrames,
  frame,
  NetDriver,
  received,
} from "../virtio/testing/net.ts";
import { FaultyNet } from "./net.ts";
import { type FaultRule, Faults } from "./rules.ts";
import { withFaults } from "./with_faults.ts";

/** Frames of the host's own may go out, too. */
class Wire extends MemoryNet {
  override send(frames: readonly Frame[], count: number): void {
    for (let i = 0; i < count; i++) {
      const parts = iovecParts(frames[i]!.iovecs, frames[i]!.count);
      const bytes = gather(parts, bytesOf(parts));
      this.sent.push(bytes);
      this.results[i] = bytes.length;
    }
  }
}

function setUp(...rules: FaultRule[]) {
  const memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  const net = new Wire(memory);
  const faults = new Faults("eth0", "net", { seed: 5, rules }, () => {});
  const faulty = new FaultyNet(net, faults, memory, NET_HEADER_SIZE);
  const driver = new NetDriver(
    faulty,
    { memory },
    (device) => withFaults(device, faults, [faulty]),
  );
  driver.post(16, 2048);
  return {
    ...{ net, driver },
    send(bytes: Uint8Array) {
      driver.queueFrame(bytes);
      driver.ring(NetQueue.TRANSMIT);
      driver.turn();
    },
    /** What the guest has of `frames` that come. */
    receive(...frames: Uint8Array[]): Uint8Array[] {
      net.deliver(...frames);
      driver.turn();
      return driver.frames();
    },
    [Symbol.dispose]() {
      driver.close();
      memory.free();
    },
  };
}

/** Bits that differ, and the first byte that does. */
function wrong(
  got: Uint8Array,
  sent: Uint8Array,
): { bits: number; at: number } {
  assert.equal(got.length, sent.length);
  const bits = [...got].map((byte, i) =>
    (byte ^ sent[i]!).toString(2).replaceAll("0", "").length
  );
  const sum = bits.reduce((a, b) => a + b, 0);
  return { bits: sum, at: bits.findIndex((count) => count > 0) };
}

Deno.test("faults: a frame has wrong bits, never in its header, by the seed", () => {
  const run = () => {
    using setup = setUp(
      { on: "send", effect: "corrupt", nth: 2 },
      { on: "receive", effect: "corrupt", bytes: 3, nth: 1 },
    );
    const frames = [frame(100, 1), frame(60, 2), frame(1400, 3)];
    for (const one of frames) setup.send(one);
    const { sent } = setup.net;
    assertFrames([sent[0]!, sent[2]!], [frames[0]!, frames[2]!]);
    const out = wrong(sent[1]!, frames[1]!);
    assert.equal(out.bits, 1);
    const [first, second] = setup.receive(frames[0]!, frames[1]!);
    const back = wrong(first!, received(frames[0]!));
    assert.ok(back.bits >= 1 && back.bits <= 3, `${back.bits} bits`);
    assertFrames([second!], [received(frames[1]!)]);
    for (const { at } of [out, back]) assert.ok(at >= NET_HEADER_SIZE);
    return [out, back];
  };
  assert.deepEqual(run(), run());
});

Deno.test("faults: frames that are stalled go with other rules, and others pass them", () => {
  using setup = setUp(
    { on: "send", effect: "stall", nth: 1 },
    { on: "receive", effect: "stall", nth: 1 },
  );
  const { net, driver } = setup;
  const [one, two] = [frame(100, 1), frame(60, 2)];
  setup.send(one);
  setup.send(two);
  assertFrames(net.sent, [two]);
  assertFrames(setup.receive(one, two), [received(two)]);
  driver.activated.command({ type: "faults", plan: { rules: [] } });
  driver.turn();
  assertFrames(net.sent, [two, one]);
  assertFrames(driver.frames(), [received(one)]);
});
