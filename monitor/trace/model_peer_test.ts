/** A trace's file, read by a published library. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { readPayload } from "../../images/payload/payload.ts";
import { ScratchFile, TestMachine } from "../../vmm/testing/mod.ts";
import { parseTraceFile, TraceFile } from "./file.ts";

interface Row {
  process: string;
  name: string;
  events: number;
}

Deno.test(needing([KVM], {
  name: "trace file: another reader of the format finds all rows and events",
  async fn() {
    using disk = new ScratchFile(8 << 20);
    using target = new ScratchFile(0);
    await using test = await TestMachine.create({
      "boot-source": {
        kernel_image_path: await readPayload(),
        boot_args: "bench=blk-randread qd=4 ms=50 wait=irq",
      },
      "machine-config": { mem_size_mib: 64 },
      drives: [
        { drive_id: "d0", path_on_host: disk.path, is_root_device: false },
      ],
    });
    {
      await using file = new TraceFile(
        parseTraceFile(target.path),
        (line) => assert.fail(line),
      );
      await file.follow(test.machine);
      await test.run();
    }
    const program = new URL("./testing/model.ts", import.meta.url);
    const config = new URL("./testing/deno.json", import.meta.url);
    const { success, stdout, stderr } = await new Deno.Command(
      Deno.execPath(),
      {
        args: [
          ...["run", "--quiet", "--frozen", `--config=${config.pathname}`],
          ...["--allow-read", "--allow-env", program.href, target.path],
        ],
      },
    ).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assert.ok(success, text(stderr));
    const rows: Row[] = JSON.parse(text(stdout));
    const of = (process: string, name: string) =>
      rows.filter((row) => row.process === process && row.name === name)
        .reduce((sum, { events }) => sum + events, 0);
    const { vcpus, devices: [d0] } = await test.machine.metrics();
    const exits = Object.values(vcpus[0]!.exits).reduce((a, b) => a + b);
    assert.equal(of("vCPUs", "vCPU 0"), exits);
    // Each request has its slice, and the step of a flow that ends in it.
    assert.equal(of("d0", "queue 0, requests"), 2 * d0!.queues[0]!.chains);
    const { doorbells, interrupts } = d0!.queues[0]!;
    assert.ok(of("d0", "queue 0") >= doorbells + interrupts);
    assert.ok(of("d0", "life") >= 1);
  },
}));
