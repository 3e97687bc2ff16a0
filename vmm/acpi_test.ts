/** ACPI as guests of a few instructions see it, under KVM. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { buildElf } from "../guest/testing/mod.ts";
import type { MachineConfig, VmConfig } from "./config/types.ts";
import { runMachine, TestMachine } from "./testing/mod.ts";
import { OBEYS } from "./testing/tiny_guest.ts";

function kvmTest(name: string, fn: () => Promise<void>): void {
  Deno.test(needing([KVM], { name, fn }));
}

/** A guest of these instructions; `text` stands behind them. */
function guest(
  code: number[],
  text: string,
  machine: MachineConfig = {},
): VmConfig {
  const bytes = [...code, ...new TextEncoder().encode(text)];
  const kernel = buildElf({
    segments: [{ address: 0x10_0000n, bytes: Uint8Array.from(bytes) }],
  });
  return {
    "boot-source": { kernel_image_path: kernel, boot_args: "" },
    "machine-config": { mem_size_mib: 8, ...machine },
  };
}

const SIGNATURE = "RSD PTR ";
const outTo = (port: number) => [0x66, 0xba, port & 0xff, port >> 8, 0xee];
const movAl = (value: number) => [0xb0, value];
/** SLP_TYP 5 and SLP_EN into the sleep control register. */
const powerOff = [...movAl(5 << 2 | 0x20), ...outTo(0x600)];
/** 6 into the reset register. */
const reset = [...movAl(6), ...outTo(0xcf9)];
const printAl = outTo(0x3f8);

/** Prints the byte that boot_params.acpi_rsdp_addr points to. */
const printRsdp = [
  ...[0x48, 0x8b, 0x46, 0x70], // mov rax, [rsi + 0x70]
  ...[0x8a, 0x00], // mov al, [rax]
  ...printAl,
];

kvmTest(
  "ACPI: a kernel that looks for an RSDP finds it in boot_params",
  async () => {
    const run = async (text: string, acpi?: MachineConfig["acpi"]) => {
      const code = [...printRsdp, ...powerOff];
      const { end, output } = await runMachine(guest(code, text, { acpi }));
      assert.equal(end.reason, "power-off");
      return output;
    };
    assert.equal(await run(SIGNATURE), "R");
    assert.equal(await run("no such text"), "\0");
    assert.equal(await run(SIGNATURE, "off"), "\0");
    assert.equal(await run("no such text", "on"), "R");
  },
);

kvmTest("ACPI: the reset register ends the machine with a reset", async () => {
  const { end } = await runMachine(guest(reset, SIGNATURE));
  assert.deepEqual(end, { reason: "reset" });
});

kvmTest(
  "Machine.powerButton: an edge at the GSI of ACPI's events",
  async () => {
    await using test = await TestMachine.create({
      "boot-source": { kernel_image_path: OBEYS },
      "machine-config": { mem_size_mib: 8 },
    });
    test.machine.start();
    await test.printed("P");
    test.machine.powerButton();
    assert.deepEqual(await test.machine.wait(), { reason: "power-off" });
    test.machine.powerButton(); // too late, and harmless
  },
);

kvmTest("Machine.powerButton: without ACPI there is none", async () => {
  const config = guest(powerOff, SIGNATURE, { acpi: "off" });
  await using test = await TestMachine.create(config);
  assert.throws(() => test.machine.powerButton(), {
    name: "VireoError",
    message: "power button: only a guest with ACPI has one",
  });
});
