import assert from "node:assert/strict";
import { needing } from "../../ffi/testing/needs.ts";
import {
  Layout,
  MAX_VIRTIO_DEVICES,
  MiB,
  virtioGsi,
  virtioWindow,
} from "../layout.ts";
import { GuestMemory } from "../memory.ts";
import { writeAcpiTables } from "./tables.ts";
import { readAcpiTables, text } from "../testing/acpi.ts";

function virtioPlaces(count: number) {
  return Array.from({ length: count }, (_, index) => ({
    window: virtioWindow(index),
    gsi: virtioGsi(index),
  }));
}

function tablesOf(
  cpus: number,
  devices: number,
  pci?: number[],
): Map<string, Uint8Array> {
  using memory = GuestMemory.allocate(MiB);
  const virtio = virtioPlaces(devices);
  assert.equal(writeAcpiTables(memory, { cpus, virtio, pci }), 0xe_0000);
  const tables = readAcpiTables(memory);
  return new Map([...tables].map(([name, bytes]) => [name, bytes.slice()]));
}

Deno.test("ACPI: from the RSDP in the BIOS area to every table, all checksums right", () => {
  assert.deepEqual([...tablesOf(1, 1).keys()], [
    ...["XSDT", "FACP", "APIC", "DSDT"],
  ]);
});

Deno.test("ACPI: most CPUs and devices fit below 1 MiB, and nothing is elsewhere", () => {
  using memory = GuestMemory.allocate(2 * MiB);
  const virtio = virtioPlaces(MAX_VIRTIO_DEVICES);
  writeAcpiTables(memory, { cpus: 32, virtio });
  readAcpiTables(memory);
  const rest = [memory.bytes(0, Layout.ACPI), memory.bytes(MiB, MiB)];
  assert(rest.every((bytes) => bytes.every((byte) => byte === 0)));
});

Deno.test("ACPI: what doesn't fit is refused", () => {
  using memory = GuestMemory.allocate(2 * MiB);
  const virtio = virtioPlaces(2000);
  assert.throws(() => writeAcpiTables(memory, { cpus: 1, virtio }), {
    message: "ACPI tables: more devices than fit below 1 MiB",
  });
  for (const cpus of [0, 255, NaN]) {
    assert.throws(() => writeAcpiTables(memory, { cpus, virtio: [] }), {
      message: `cpus: ${cpus} don't fit into the MADT`,
    });
  }
});

Deno.test("FADT: hardware-reduced, with registers to sleep and to reset", () => {
  const fadt = tablesOf(1, 0).get("FACP")!;
  const view = new DataView(fadt.buffer);
  assert.equal(fadt.length, 276);
  const flags = view.getUint32(112, true);
  assert(flags & 1 << 20, "HW_REDUCED_ACPI");
  assert(flags & 1 << 10, "RESET_REG_SUP");
  assert(flags & 1 << 4, "no power button in fixed registers");
  assert.equal(view.getUint16(109, true), 1 << 1 | 1 << 2, "i8042, no VGA");
  const register = (at: number) => [...fadt.subarray(at, at + 12)];
  // System I/O, 8 bits at bit 0, byte access, address.
  const port = (low: number, high: number) => [1, 8, 0, 1, low, high];
  const zeros = Array(6).fill(0);
  assert.deepEqual(register(116), [...port(0xf9, 0x0c), ...zeros], "reset");
  assert.equal(fadt[128], 0x06, "what resets");
  assert.deepEqual(register(244), [...port(0x00, 0x06), ...zeros], "sleep");
  assert.deepEqual(register(256), [...port(0x01, 0x06), ...zeros], "status");
});

Deno.test("MADT: a local APIC per vCPU, the I/O APIC, NMI at LINT1 of all", () => {
  const madt = tablesOf(2, 0).get("APIC")!;
  assert.deepEqual([...madt.subarray(36)], [
    ...[0x00, 0x00, 0xe0, 0xfe, 0, 0, 0, 0],
    ...[0, 8, 0, 0, 1, 0, 0, 0],
    ...[0, 8, 1, 1, 1, 0, 0, 0],
    ...[1, 12, 2, 0, 0x00, 0x00, 0xc0, 0xfe, 0, 0, 0, 0],
    ...[4, 6, 0xff, 0, 0, 1],
  ]);
});

Deno.test("MADT: 32 vCPUs", () => {
  const madt = tablesOf(32, 0).get("APIC")!;
  const ids = Array.from({ length: 32 }, (_, i) => madt[36 + 8 + 8 * i + 3]);
  assert.deepEqual(ids, [...ids.keys()]);
  assert.equal(madt[36 + 8 + 8 * 32 + 2], 32, "the I/O APIC's id");
});

/** Runs iasl in `dir`; returns what it said. */
function iasl(dir: string, ...args: string[]): string {
  const { success, stdout, stderr } = new Deno.Command("iasl", {
    args,
    cwd: dir,
  }).outputSync();
  const said = text(stdout) + text(stderr);
  assert(success, said);
  assert.doesNotMatch(said, /^(Warning|Error|Remark)\b/im, said);
  return said;
}

/** The header's checksum and creator are the compiler's. */
const COMPILERS = [9, 28, 29, 30, 31, 32, 33, 34, 35];
const END_TAG = 0x79;

Deno.test(needing(["iasl"], {
  name:
    "ACPI: iasl decompiles every table without a complaint, and compiles it to the same bytes",
  fn() {
    const lines = Array.from({ length: 19 }, (_, i) => virtioGsi(i));
    for (const pci of [undefined, [], lines]) {
      for (const [cpus, devices] of [[1, 0], [2, 3], [32, 19]] as const) {
        const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
        try {
          for (const [name, ours] of tablesOf(cpus, devices, pci)) {
            Deno.writeFileSync(`${dir}/${name}.aml`, ours);
            iasl(dir, "-d", `${name}.aml`);
            const said = iasl(dir, "-p", "compiled", `${name}.dsl`);
            assert.match(said, /0 Errors, 0 Warnings, 0 Remarks/);
            assert.doesNotMatch(said, /[1-9]\d* Optimizations/);
            const theirs = Deno.readFileSync(`${dir}/compiled.aml`);
            assert.equal(theirs.length, ours.length, name);
            for (const [at, byte] of ours.entries()) {
              // An end tag's checksum of 0 counts as right, and is iasl's.
              const same = theirs[at] === byte || COMPILERS.includes(at) ||
                theirs[at] === 0 && ours[at - 1] === END_TAG;
              assert(same, `${name} at ${at}: ${byte}, iasl: ${theirs[at]}`);
            }
          }
        } finally {
          Deno.removeSync(dir, { recursive: true });
        }
      }
    }
  },
}));

Deno.test(needing(["iasl"], {
  name: "DSDT: every device with its window and GSI, as iasl reads them",
  fn() {
    const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    try {
      Deno.writeFileSync(`${dir}/dsdt.aml`, tablesOf(2, 19).get("DSDT")!);
      iasl(dir, "-d", "dsdt.aml");
      const asl = Deno.readTextFileSync(`${dir}/dsdt.dsl`);
      const devices = asl.split(/(?=Device \()/).slice(1);
      const virtio = devices.filter((device) => device.includes("LNRO0005"));
      assert.equal(virtio.length, 19);
      virtio.forEach((device, index) => {
        const hex = (value: number) =>
          "0x" + value.toString(16).toUpperCase().padStart(8, "0");
        assert(device.includes(hex(0xc000_1000 + index * 0x1000)), device);
        assert(device.includes(hex(5 + index)), device);
        assert(device.includes("Edge, ActiveHigh, Exclusive"), device);
      });
      assert.equal(devices.filter((d) => d.includes("ACPI0007")).length, 2);
      assert.match(asl, /Name \(_S5, Package \(0x04\).*?\{\s*0x05,/s);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  },
}));
