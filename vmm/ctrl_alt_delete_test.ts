/** Ctrl, Alt and Delete on the keyboard, as a guest of a few instructions reads them. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { until } from "../ffi/testing/until.ts";
import { Machine } from "./machine.ts";
import { KEYS } from "./testing/tiny_guest.ts";

const HI = [...new TextEncoder().encode("hi\n")];
const PRESSED = [0x14, 0x11, 0xe0, 0x71];

Deno.test(needing([KVM], {
  name:
    "Machine.ctrlAltDelete: the guest reads the keys' codes; those of a paused one go with its snapshot",
  async fn() {
    const output: number[] = [];
    await using machine = await Machine.create({
      "boot-source": { kernel_image_path: KEYS, boot_args: "" },
      "machine-config": { mem_size_mib: 16 },
    }, { onOutput: (bytes) => void output.push(...bytes) });
    machine.start();
    const said = (bytes: number[], wanted: number[]) =>
      until(() => bytes.length >= wanted.length, "bytes", () => `${bytes}`)
        .then(() => assert.deepEqual(bytes, wanted));
    await said(output, HI);
    machine.ctrlAltDelete();
    await said(output, [...HI, ...PRESSED]);

    await machine.pause();
    machine.ctrlAltDelete();
    using snapshot = await machine.snapshot();
    const other: number[] = [];
    await using restored = await Machine.restore(snapshot, {}, {
      onOutput: (bytes) => void other.push(...bytes),
    });
    restored.start();
    await said(other, PRESSED);
    for (let i = 0; i < 3; i++) machine.ctrlAltDelete();
    assert.throws(() => machine.ctrlAltDelete(), /buffer full/);
    await machine.resume();
    const all = [0, 1, 2, 3].flatMap(() => PRESSED);
    await said(output, [...HI, ...PRESSED, ...all]);

    // One that was saved when there was no keyboard, has none pressed.
    const { keyboard: _, ...platform } = snapshot.state.platform;
    snapshot.state.platform = platform;
    await machine.reset(snapshot);
    machine.ctrlAltDelete();
    await said(output, [...HI, ...PRESSED, ...all, ...PRESSED]);
  },
}));
