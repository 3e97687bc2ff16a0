/** The network device with a metadata service on its link. */
import assert from "node:assert/strict";
import { MiB } from "../../../guest/layout.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { MmdsBackend } from "../../backends/net/mmds/backend.ts";
import { MMDS_MAC } from "../../backends/net/mmds/frames.ts";
import { Mmds } from "../../backends/net/mmds/mmds.ts";
import { MemoryNet } from "../../backends/testing/net.ts";
import { frame, MAC, NetDriver, PLAIN, settle } from "../testing/net.ts";
import { NET_HEADER_SIZE } from "./spec.ts";

const SETTINGS = {
  version: "V1",
  address: "169.254.169.254",
  imdsCompat: false,
} as const;

/** An ARP request of the guest's for the address, with a virtio header. */
function arpFor(address: number[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([
    ...new Array<number>(NET_HEADER_SIZE).fill(0),
    ...[255, 255, 255, 255, 255, 255, ...MAC, 8, 6],
    ...[0, 1, 8, 0, 6, 4, 0, 1, ...MAC, 10, 0, 0, 2],
    ...[0, 0, 0, 0, 0, 0, ...address],
  ]);
}

Deno.test("net: frames for the metadata service are answered by the device, in their place; all others go on", () => {
  const memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  const net = new MemoryNet(memory);
  const mmds = new Mmds(SETTINGS, 1500);
  const backend = new MmdsBackend(net, mmds, memory, NET_HEADER_SIZE);
  const driver = new NetDriver(backend, { memory, features: PLAIN });
  using _ = {
    [Symbol.dispose]() {
      driver.close();
      net.close();
      memory.free();
    },
  };
  driver.post(4, 2048);
  const others = [frame(60, 1), arpFor([10, 0, 0, 1]), frame(1400, 2)];
  const mine = arpFor([169, 254, 169, 254]);
  const heads = [
    driver.queueFrame(others[0]!),
    driver.queueFrame(mine.slice(0, 20), mine.slice(20)),
    driver.queueFrame(others[1]!),
    driver.queueFrame(others[2]!),
  ];
  driver.kick(1);
  settle(driver);
  assert.deepEqual(heads.map(() => driver.tx.poll()), heads, "all, in order");
  assert.deepEqual(
    net.sent.map((bytes) => [...bytes]),
    others.map((bytes) => [
      ...bytes,
    ]),
  );
  const [reply, ...more] = driver.frames();
  assert.deepEqual(more, []);
  const arp = reply!.slice(NET_HEADER_SIZE);
  assert.deepEqual([...arp.slice(0, 12)], [...MAC, ...MMDS_MAC]);
  assert.deepEqual([...arp.slice(20)], [
    ...[0, 2, ...MMDS_MAC, 169, 254, 169, 254],
    ...[...MAC, 10, 0, 0, 2],
  ]);
});
