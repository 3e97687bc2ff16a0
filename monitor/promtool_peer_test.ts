/** Prometheus' own verdict on the metrics page. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { readPayload } from "../images/payload/payload.ts";
import { ScratchFile, TestMachine } from "../vmm/testing/mod.ts";
import { Exporter } from "./exporter.ts";

Deno.test(needing([KVM, "promtool"], {
  name: "promtool check metrics: it has nothing to say",
  async fn() {
    using disk = new ScratchFile(8 << 20);
    await using test = await TestMachine.create({
      "boot-source": {
        kernel_image_path: await readPayload(),
        boot_args: "demo",
      },
      "machine-config": { mem_size_mib: 64 },
      drives: [
        { drive_id: "d0", path_on_host: disk.path, is_root_device: false },
      ],
    });
    const place = { hostname: "127.0.0.1", port: 0 };
    await using exporter = await Exporter.start(place, false, assert.fail);
    exporter.machine.resolve(test.machine);
    await test.run();
    const text = await (await fetch(exporter.at)).text();
    assert.match(
      text,
      /^vireo_request_bytes_total\{device="d0",type="read"\} [1-9]/m,
    );
    const child = new Deno.Command("promtool", {
      args: ["check", "metrics"],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const input = child.stdin.getWriter();
    await input.write(new TextEncoder().encode(text));
    await input.close();
    const { code, stdout, stderr } = await child.output();
    const said = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assert.deepEqual([code, said(stdout), said(stderr)], [0, "", ""]);
  },
}));
