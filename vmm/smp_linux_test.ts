/** The full kernel on several vCPUs: by ACPI's MADT and by the MP table. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { FULL_LINUX } from "../images/testing/prepared.ts";
import { boot } from "./testing/command.ts";

function linuxTest(name: string, fn: () => Promise<void>): void {
  Deno.test(needing([KVM, FULL_LINUX], { name, fn }));
}

/** One number for each CPU from a line of /proc/interrupts. */
function interrupts(text: string, line: string): number[] {
  const [, counts = ""] =
    new RegExp(`^ *${line}: +([\\d ]+)`, "m").exec(text) ??
      [];
  return counts.trim().split(/ +/).map(Number);
}

linuxTest(
  "Linux: two CPUs, found by ACPI, have their timers and know their cores",
  async () => {
    const topology = "/sys/devices/system/cpu/cpu1/topology";
    const { code, stdout, stderr } = await boot([
      "--memory",
      "128M",
      "--cpus",
      "2",
      "--exec",
      "nproc; cat /proc/interrupts; " +
      `echo core $(cat ${topology}/core_id) of $(cat ${topology}/package_cpus_list)`,
    ]);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^vireo: the full kernel, for 2 CPUs$/m);
    assert.match(stderr, /Using ACPI \(MADT\) for SMP/);
    assert.match(stdout, /^2\n +CPU0 +CPU1/);
    const timers = interrupts(stdout, "LOC");
    assert.equal(timers.length, 2);
    assert.ok(timers.every((count) => count > 0), stdout);
    assert.match(stdout, /^core 1 of 0-1$/m);
  },
);

linuxTest(
  "Linux: two CPUs, found by the MP table; a reboot ends the machine",
  async () => {
    const { code, stdout, stderr } = await boot(
      ["--memory", "128M", "--cpus", "2", "--acpi", "off"],
      "nproc; cat /proc/interrupts; reboot -f\n",
    );
    assert.equal(code, 0, stderr);
    const text = stdout.replaceAll("\r", "");
    assert.match(text, /MPTABLE|MP-table/);
    assert.match(text, /^2\n +CPU0 +CPU1/m);
    assert.ok(interrupts(text, "LOC").every((count) => count > 0), text);
    assert.match(text, /reboot: machine restart/);
  },
);
