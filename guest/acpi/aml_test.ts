import assert from "node:assert/strict";
import {
  type Aml,
  buffer,
  clear,
  device,
  eisaId,
  ifNotZero,
  integer,
  memoryByte,
  method,
  name,
  nameString,
  notify,
  packageOf,
  pkgLength,
  scope,
  string,
} from "./aml.ts";

/** The other direction, as ACPI 6.3 §20.2.4 has it: length, and its bytes. */
function decodePkgLength(bytes: Aml): { length: number; size: number } {
  const extra = bytes[0]! >> 6;
  if (extra === 0) return { length: bytes[0]! & 0x3f, size: 1 };
  assert.equal(bytes[0]! & 0x30, 0, "reserved bits");
  let length = bytes[0]! & 0xf;
  for (let i = 0; i < extra; i++) length += bytes[1 + i]! * 2 ** (4 + 8 * i);
  return { length, size: 1 + extra };
}

Deno.test("AML: PkgLength takes one byte up to 63, two up to 4095", () => {
  // The length counts itself.
  assert.deepEqual(pkgLength(0), [1]);
  assert.deepEqual(pkgLength(62), [63]);
  assert.deepEqual(pkgLength(63), [0x41, 0x04]); // 65
  assert.deepEqual(pkgLength(64), [0x42, 0x04]); // 66
  assert.deepEqual(pkgLength(4093), [0x4f, 0xff]); // 4095
  assert.deepEqual(pkgLength(4094), [0x81, 0x00, 0x01]); // 4097
  assert.deepEqual(pkgLength(2 ** 20 - 4), [0x8f, 0xff, 0xff]);
  assert.deepEqual(pkgLength(2 ** 20 - 3), [0xc1, 0x00, 0x00, 0x01]);
  assert.deepEqual(pkgLength(2 ** 28 - 5), [0xcf, 0xff, 0xff, 0xff]);
  assert.throws(() => pkgLength(2 ** 28 - 4), { name: "VireoError" });
});

Deno.test("AML: PkgLength is content and itself, around every edge", () => {
  for (const edge of [63, 64, 4095, 4096, 2 ** 20 - 1, 2 ** 20]) {
    for (let content = edge - 6; content < edge + 6; content++) {
      const bytes = pkgLength(content);
      const { length, size } = decodePkgLength(bytes);
      assert.equal(size, bytes.length);
      assert.equal(length, content + size);
    }
  }
});

Deno.test("AML: names have segments of four characters, filled up with _", () => {
  const text = (path: string) =>
    nameString(path).map((byte) => String.fromCharCode(byte)).join("");
  assert.equal(text("_HID"), "_HID");
  assert.equal(text("GED"), "GED_");
  assert.equal(text("\\_SB"), "\\_SB_");
  assert.equal(text("^^PCI"), "^^PCI_");
  assert.equal(text("\\_SB.PWRB"), "\\\x2e_SB_PWRB");
  assert.equal(text("A.B.C"), "\x2f\x03A___B___C___");
  assert.deepEqual(nameString("\\"), [0x5c, 0]);
});

Deno.test("AML: what is no name is refused", () => {
  for (const path of ["", "5DEV", "abcd", "TOOLONG", "A..B", "A.", "\\A\\B"]) {
    assert.throws(() => nameString(path), {
      message: `AML: "${path}" is not a path`,
    });
  }
});

Deno.test("AML: integers take as few bytes as they can", () => {
  assert.deepEqual(integer(0), [0x00]);
  assert.deepEqual(integer(1), [0x01]);
  assert.deepEqual(integer(2), [0x0a, 2]);
  assert.deepEqual(integer(0xff), [0x0a, 0xff]);
  assert.deepEqual(integer(0x100), [0x0b, 0x00, 0x01]);
  assert.deepEqual(integer(0xffff), [0x0b, 0xff, 0xff]);
  assert.deepEqual(integer(0x1_0000), [0x0c, 0, 0, 1, 0]);
  assert.deepEqual(integer(0xffff_ffff), [0x0c, 0xff, 0xff, 0xff, 0xff]);
  assert.deepEqual(integer(2 ** 32), [0x0e, 0, 0, 0, 0, 1, 0, 0, 0]);
  assert.deepEqual(integer(2 ** 53 - 1), [
    ...[0x0e, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00],
  ]);
  for (const value of [-1, 0.5, NaN, 2 ** 53]) {
    assert.throws(() => integer(value), { name: "VireoError" });
  }
});

Deno.test("AML: strings are ASCII and end with a zero", () => {
  assert.deepEqual(string("AB"), [0x0d, 0x41, 0x42, 0]);
  for (const text of ["é", "a\0b"]) {
    assert.throws(() => string(text), { name: "VireoError" });
  }
});

Deno.test("AML: EISA ids are packed", () => {
  // Known from the tables of PCs.
  assert.deepEqual(eisaId("PNP0501"), [0x0c, 0x41, 0xd0, 0x05, 0x01]);
  assert.deepEqual(eisaId("PNP0A03"), [0x0c, 0x41, 0xd0, 0x0a, 0x03]);
  assert.deepEqual(eisaId("PNP0C0C"), [0x0c, 0x41, 0xd0, 0x0c, 0x0c]);
  for (const id of ["ACPI0007", "LNRO0005", "pnp0501", "PNP05"]) {
    assert.throws(() => eisaId(id), { name: "VireoError" });
  }
});

Deno.test("AML: buffers, packages, names, scopes, devices, methods", () => {
  assert.deepEqual(buffer([7, 8]), [0x11, 5, 0x0a, 2, 7, 8]);
  assert.deepEqual(packageOf(integer(5), integer(0)), [0x12, 5, 2, 0x0a, 5, 0]);
  const uid = [0x08, 0x5f, 0x55, 0x49, 0x44, 0x01];
  assert.deepEqual(name("_UID", integer(1)), uid);
  const dev = [0x44, 0x45, 0x56, 0x5f];
  assert.deepEqual(scope("DEV", uid), [0x10, 11, ...dev, ...uid]);
  assert.deepEqual(device("DEV", uid), [0x5b, 0x82, 11, ...dev, ...uid]);
  const ring = [0x86, ...dev, 0x0a, 0x80];
  assert.deepEqual(notify("DEV", 0x80), ring);
  assert.deepEqual(method("DEV", 1, ring), [0x14, 13, ...dev, 0x09, ...ring]);
  const cleared = [0x70, 0x00, ...dev];
  assert.deepEqual(clear("DEV"), cleared);
  assert.deepEqual(ifNotZero("DEV", cleared), [0xa0, 11, ...dev, ...cleared]);
  assert.deepEqual(memoryByte("DEV", 0x1234, "DEV"), [
    ...[0x5b, 0x80, ...dev, 0, 0x0b, 0x34, 0x12, 0x01],
    ...[0x5b, 0x81, 11, ...dev, 0x01, ...dev, 8],
  ]);
  assert.throws(() => method("DEV", 8), { name: "VireoError" });
  const many = Array.from({ length: 256 }, () => integer(0));
  assert.throws(() => packageOf(...many), { name: "VireoError" });
});

Deno.test("AML: a device of more than 63 bytes has a longer PkgLength", () => {
  const fields = Array.from(
    { length: 11 },
    (_, i) => name(`A${i}`, integer(0)),
  );
  const bytes = device("DEV", ...fields); // 4 + 11 * 6 = 70 bytes
  assert.deepEqual(bytes.slice(0, 4), [0x5b, 0x82, 0x48, 0x04]);
  assert.equal(bytes.length, 2 + 72);
});
