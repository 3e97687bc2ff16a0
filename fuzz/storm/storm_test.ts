/** A hostile driver with two vCPUs, under KVM: the VMM lives, and so do the others. */
import assert from "node:assert/strict";
import { canOpenKvm, KVM_MISSING } from "../../guest/testing/mod.ts";
import { canMakeNetworks } from "../../vmm/testing/mod.ts";
import { runStorm, STORMS, type Weather } from "./storm.ts";

const SECONDS = 1;
const network = canMakeNetworks();
const ignore = !canOpenKvm() || !network;
const reason = KVM_MISSING || (network ? "" : " [no TAP, or no right to it]");

function storm(name: string, transport: Weather["transport"], packed: boolean) {
  const rings = packed ? "packed" : "split";
  Deno.test({
    name: `Storm: ${name}, ${transport}, ${rings} rings${reason}`,
    ignore,
    async fn() {
      const weather = { transport, packed, seconds: SECONDS, network };
      const { failures, log, counts } = await runStorm(name, weather);
      assert.deepEqual(failures, [], log.join("\n"));
      assert.ok(
        Object.values(counts).some((count) => count > 0),
        JSON.stringify(counts),
      );
    },
  });
}

for (const name of STORMS.mmio) storm(name, "mmio", false);
for (const name of STORMS.pci) storm(name, "pci", true);
storm("rings", "mmio", true);
storm("rings", "pci", false);
