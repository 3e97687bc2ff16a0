/** A hostile driver with two vCPUs, under KVM: the VMM lives, and so do the others. */
import assert from "node:assert/strict";
import { KVM, needing, NETWORKS } from "../../ffi/testing/needs.ts";
import { runStorm, STORMS, type Weather } from "./storm.ts";

const SECONDS = 1;

function storm(name: string, transport: Weather["transport"], packed: boolean) {
  const rings = packed ? "packed" : "split";
  Deno.test(needing([KVM, NETWORKS], {
    name: `Storm: ${name}, ${transport}, ${rings} rings`,
    async fn() {
      const weather = { transport, packed, seconds: SECONDS, network: true };
      const { failures, log, counts } = await runStorm(name, weather);
      assert.deepEqual(failures, [], log.join("\n"));
      assert.ok(
        Object.values(counts).some((count) => count > 0),
        JSON.stringify(counts),
      );
    },
  }));
}

for (const name of STORMS.mmio) storm(name, "mmio", false);
for (const name of STORMS.pci) storm(name, "pci", true);
storm("rings", "mmio", true);
storm("rings", "pci", false);
