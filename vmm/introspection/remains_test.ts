/** What is left of a machine that has ended, with its devices. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { readPayload } from "../../images/payload/payload.ts";
import { Machine } from "../machine.ts";
import type { Snapshot } from "../snapshot/mod.ts";
import { ScratchFile } from "../testing/mod.ts";

Deno.test(needing([KVM], {
  name:
    "introspection: of a machine that has ended, devices answer and are saved, while its owner looks",
  async fn() {
    using disk = new ScratchFile(8 << 20);
    const log: string[] = [];
    let snapshot: Snapshot | undefined;
    let balloon: { target_mib: number } | undefined;
    await using machine = await Machine.create({
      "boot-source": {
        kernel_image_path: await readPayload(),
        boot_args: "bench=blk-randread qd=4 wait=irq ms=60000",
      },
      "machine-config": { mem_size_mib: 16 },
      drives: [
        { drive_id: "d0", path_on_host: disk.path, is_root_device: false },
      ],
      balloon: { amount_mib: 3, deflate_on_oom: false },
    }, {
      onLog: (line) => log.push(line),
      async atEnd(view) {
        balloon = await machine.balloon.stats();
        snapshot = await view.snapshot();
      },
    });
    machine.start();
    const begun = () => machine.state !== "starting";
    await until(begun, "its devices to be made", () => machine.state);
    await machine.stop();
    assert.ok(snapshot, log.join("\n"));
    using saved = snapshot;
    assert.equal(saved.state.devices.length, 2);
    assert.equal(balloon!.target_mib, 3);
    await assert.rejects(machine.balloon.stats(), /the machine has ended/);
  },
}));
