import assert from "node:assert/strict";
import { MiB } from "../layout.ts";
import { GuestMemory } from "../memory.ts";
import { kernelHasAcpi } from "./support.ts";

Deno.test("kernelHasAcpi: the RSDP's signature anywhere in the kernel, and only there", () => {
  const kernel = { lowest: MiB, end: 2 * MiB };
  for (const at of [MiB, MiB + 12_345, 2 * MiB - 8]) {
    using memory = GuestMemory.allocate(3 * MiB);
    memory.write(MiB + 100, new TextEncoder().encode("RSD RRSD PT"));
    assert.equal(kernelHasAcpi(memory, kernel), false);
    memory.write(at, new TextEncoder().encode("RSD PTR "));
    assert.equal(kernelHasAcpi(memory, kernel), true);
  }
  for (const at of [0xe_0000, 2 * MiB - 7]) {
    using memory = GuestMemory.allocate(3 * MiB);
    memory.write(at, new TextEncoder().encode("RSD PTR "));
    assert.equal(kernelHasAcpi(memory, kernel), false);
  }
});
