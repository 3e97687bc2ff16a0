/** Linux's own drivers and examples of docs/lab.md: the full kernel, with ACPI. */
import assert from "node:assert/strict";
import { LinuxGuest } from "../../cli/testing/linux.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { FULL_LINUX } from "../../images/testing/prepared.ts";

Deno.test(needing([KVM, FULL_LINUX], {
  name:
    "lab: Linux's 8250 driver finds the UART by ACPI, and drives it by interrupts",
  async fn() {
    await using linux = await LinuxGuest.boot({
      "machine-config": { mem_size_mib: 64, transport: "pci" },
      console: { main: true },
      "bus-devices": [{
        ...{ module: import.meta.resolve("./uart.ts"), name: "uart" },
        ...{ port: 8, hid: "PNP0501", interrupt: "level" },
      }],
    }, "console=hvc0");
    const { machine, events } = linux.test;
    const sent = () =>
      String.fromCharCode(...events.map(({ data }) => data as number));
    // The prepared kernel has room for one port: COM1 makes it.
    const [com1, uart] = (await linux.run(
      "cd /sys/bus/pnp/devices; grep -l PNP0501 */id",
    )).match(/\d\d:\d\d/g)!;
    await linux.run(
      `cd ../drivers/serial; echo ${com1} >unbind; echo ${uart} >bind`,
    );
    const proc = await linux.run("cat /proc/tty/driver/serial");
    assert.match(proc, /^0: uart:16450 port:00005000 irq:\d+ /m);
    await linux.run("echo hello from Linux > /dev/ttyS0");
    await until(() => sent().includes("hello from Linux"), "a line", sent);
    await linux.run("exec 3</dev/ttyS0; stty -F /dev/ttyS0 -echo");
    const read = linux.run("read line <&3; echo got: $line");
    await machine.command("uart", "hello from the host\n");
    assert.match(await read, /got: hello from the host/);
    const interrupts = await linux.run("grep ttyS0 /proc/interrupts");
    assert.match(interrupts, /IO-APIC +\d+-fasteoi +ttyS0/);
    assert.deepEqual(linux.test.log, []);
  },
}));
