/**
 * The full kernel on two vCPUs that it finds by the MP table. By ACPI's MADT:
 * `acpi_linux_test.ts`.
 */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { FULL_LINUX } from "../images/testing/prepared.ts";
import { boot } from "./testing/command.ts";
import { interruptCounts } from "../cli/testing/linux.ts";

Deno.test(needing([KVM, FULL_LINUX], {
  name: "Linux: two CPUs, found by the MP table; a reboot ends the machine",
  async fn() {
    const { code, stdout, stderr } = await boot(
      // "quiet" is the kernel's: what Vireo says is wanted.
      ["--cpus", "2", "--acpi", "off", "--cmdline", "quiet"],
      "dmesg | grep MP; nproc; cat /proc/interrupts; " +
        "echo 8 >/proc/sys/kernel/printk; reboot -f\n",
    );
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^vireo: the full kernel, for 2 CPUs$/m);
    const text = stdout.replaceAll("\r", "");
    assert.match(text, /MPTABLE|MP-table/);
    assert.match(text, /^2\n +CPU0 +CPU1/m);
    const timers = interruptCounts(text, "LOC");
    assert.equal(timers.length, 2);
    assert.ok(timers.every((count) => count > 0), text);
    assert.match(text, /reboot: machine restart/);
  },
}));
