/**
 * Memtest86+ under Vireo: a bzImage that is not Linux, with x87 arithmetic, an
 * IDT and a serial console of its own.
 */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { until } from "../ffi/testing/until.ts";
import { APT, memtestImage } from "../images/testing/distro.ts";
import { TestMachine } from "./testing/mod.ts";

const ESCAPE = 0x1b;

/** What a terminal shows that has been sent `output`. */
function screen(output: string): string {
  const rows = Array.from({ length: 25 }, () => " ".repeat(80));
  let row = 0;
  let column = 0;
  for (const part of output.split("\x1b[").slice(1)) {
    const at = /^(\d+);(\d+)H/.exec(part);
    if (at) [row, column] = [Number(at[1]) - 1, Number(at[2]) - 1];
    const text = part.replace(/^[?\d;]*[A-Za-z]/, "");
    const before = rows[row]!;
    const after = column + text.length;
    rows[row] = before.slice(0, column) + text + before.slice(after);
    column = after;
  }
  return rows.map((text) => text.trimEnd()).join("\n").trimEnd();
}

/** What it shows while it tests. */
const SHOWN = [
  /^ +Memtest86\+ v\d+\.\d+ +\|/,
  /^CLK\/Temp: .*\| Pass +\d+%/m,
  /^Memory +: +8MB .*\| Pattern:/m,
  /\| Test *\d+%/,
  /\| Test #\d+ +\[[A-Z].*\]/,
  /\| Testing: .*B - \d+MB \[\d.*MB of 7\.\d+MB\]/,
  /\| Time: +0:\d\d:\d\d +Status: Testing/,
  /\| Pass: +0 +Errors: 0$/m,
  /<ESC> Exit +<F1> Configuration/,
];

Deno.test(needing([KVM, APT], {
  name: "Memtest86+ tests the guest's memory, and reboots by <Esc>",
  async fn() {
    await using test = await TestMachine.create({
      "boot-source": {
        kernel_image_path: await memtestImage(),
        boot_args: "console=ttyS0 nobench",
      },
      "machine-config": { mem_size_mib: 8 },
    });
    test.machine.start();
    // How far it is comes after where it is: <Esc> between them would end it.
    const shown = () => screen(test.output);
    const all = () => SHOWN.every((part) => part.test(shown()));
    const over = () => test.machine.state === "ended";
    await until(() => all() || over(), "all of its screen", shown);
    test.machine.input(Uint8Array.of(ESCAPE));
    const end = await test.machine.wait();
    assert.equal(end.reason, "reset", end.message);
    for (const part of SHOWN) assert.match(shown(), part);
  },
}));
