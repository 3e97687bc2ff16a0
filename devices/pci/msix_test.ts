import assert from "node:assert/strict";
import { MsixTable } from "./msix.ts";

function table(vectors = 3): MsixTable {
  const made = new MsixTable(
    new SharedArrayBuffer(64 + MsixTable.bytes(vectors)),
    64,
    vectors,
  );
  made.clear();
  return made;
}

Deno.test("MSI-X: every vector is masked at first, and reads back what is written", () => {
  const msix = table();
  for (let vector = 0; vector < 3; vector++) {
    assert.equal(msix.read(vector * 16 + 12, 4), 1);
    assert.equal(msix.masked(vector), true);
  }
  assert.equal(msix.write(16, 4, 0xfee0_1000), false, "masked: nobody looks");
  msix.write(20, 4, 1);
  msix.write(24, 4, 0x4041);
  assert.equal(msix.read(16, 4), 0xfee0_1000);
  const message = { addressLow: 0, addressHigh: 0, data: 0 };
  msix.message(1, message);
  assert.deepEqual(message, {
    addressLow: 0xfee0_1000,
    addressHigh: 1,
    data: 0x4041,
  });
});

Deno.test("MSI-X: unmasking, masking and changing an open vector are to be looked at", () => {
  const msix = table();
  assert.equal(msix.write(12, 4, 0xffff_fffe), true);
  assert.equal(msix.read(12, 4), 0, "only the mask bit is kept");
  assert.equal(msix.write(12, 4, 0), false, "no change");
  assert.equal(msix.write(8, 4, 0x30), true);
  assert.equal(msix.write(8, 4, 0x30), false);
  assert.equal(msix.write(12, 4, 1), true);
});

Deno.test("MSI-X: accesses that §6.8.2 leaves undefined do nothing", () => {
  const msix = table();
  for (const [offset, size] of [[0, 1], [0, 2], [2, 4], [48, 4], [4092, 4]]) {
    assert.equal(msix.write(offset!, size!, 0xffff_ffff), false);
    assert.equal(msix.read(offset!, size!), 0);
  }
  assert.equal(msix.readPending(4, 4), 0);
  assert.equal(msix.readPending(1, 4), 0);
});

Deno.test("MSI-X: pending bits are set and taken one by one", () => {
  const msix = table(40);
  msix.setPending(0);
  msix.setPending(31);
  msix.setPending(33);
  assert.equal(msix.readPending(0, 4), 0x8000_0001);
  assert.equal(msix.readPending(4, 4), 2);
  assert.equal(msix.takePending(31), true);
  assert.equal(msix.takePending(31), false);
  assert.equal(msix.readPending(0, 4), 1);
});
