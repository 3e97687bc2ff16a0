/** What a network device is made of. */
import assert from "node:assert/strict";
import { MiB } from "../../../guest/layout.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { make } from "./make.ts";
import { NetConfig } from "./spec.ts";

const HANDLER = "data:text/javascript,export default () => {}";

Deno.test("net: the guest is told the MTU that is given, else the backend's", async () => {
  const memory = GuestMemory.allocate(MiB);
  try {
    const console = { opened() {}, outputReady() {}, inputRoom() {} } as never;
    const context = { memory, vmFd: -1, console, log() {}, emit() {} };
    const told = async (mtu?: number) => {
      const device = await make({
        target: { handler: HANDLER },
        mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
        limits: { rx: undefined, tx: undefined },
        pcap: undefined,
        ...(mtu !== undefined && { mtu }),
      }, context);
      const { buffer } = device.config;
      device.close?.();
      return new DataView(buffer).getUint16(NetConfig.mtu, true);
    };
    assert.equal(await told(), 1500);
    for (const mtu of [68, 1400, 9000, 65535]) {
      assert.equal(await told(mtu), mtu);
    }
  } finally {
    memory.free();
  }
});
