import assert from "node:assert/strict";
import { LapicRegister, setLocalInterrupts } from "./lapic.ts";

Deno.test("local APIC: LINT0 takes the PIC's interrupts, LINT1 NMIs, both unmasked", () => {
  const MASKED = 0x1_0000;
  const lapic = new DataView(new ArrayBuffer(1024));
  lapic.setUint32(LapicRegister.LVT_LINT0, MASKED, true);
  lapic.setUint32(LapicRegister.LVT_LINT1, MASKED, true);
  setLocalInterrupts(lapic);
  assert.equal(lapic.getUint32(0x350, true), 0x700);
  assert.equal(lapic.getUint32(0x360, true), 0x400);
});

Deno.test("local APIC: the other registers stay as they are", () => {
  const lapic = new DataView(new ArrayBuffer(1024));
  setLocalInterrupts(lapic);
  const set = [...new Uint32Array(lapic.buffer)]
    .flatMap((value, i) => value === 0 ? [] : [i * 4]);
  assert.deepEqual(set, [0x350, 0x360]);
});
