/** QEMU at a switch, beside a machine of ours. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { until } from "../ffi/testing/until.ts";
import { readPayload } from "../images/payload/payload.ts";
import { runMachine } from "../vmm/testing/mod.ts";
import { Switch } from "./switch.ts";

Deno.test(needing([KVM, "qemu-system-x86_64"], {
  name:
    "Switch: QEMU joins by its stream socket, and answers a machine's pings",
  async fn() {
    const dir = Deno.makeTempDirSync({ prefix: "vireo-switch-" });
    using _dir = {
      [Symbol.dispose]: () => Deno.removeSync(dir, { recursive: true }),
    };
    const kernel = `${dir}/payload`;
    const bytes = await readPayload();
    Deno.writeFileSync(kernel, bytes);
    await using network = new Switch();
    const link = network.listen(`${dir}/s`);
    const child = new Deno.Command("qemu-system-x86_64", {
      // deno-fmt-ignore
      args: [
        "-accel", "kvm", "-cpu", "qemu64", "-M", "microvm,acpi=off,rtc=on",
        "-global", "virtio-mmio.force-legacy=false",
        "-m", "32M", "-kernel", kernel, "-append", "serve=600 ip=10.9.0.2",
        "-netdev", `stream,id=n0,server=off,addr.type=unix,addr.path=${link.path}`,
        "-device", "virtio-net-device,netdev=n0",
        "-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    try {
      let said = "";
      const reader = child.stdout.pipeThrough(new TextDecoderStream());
      const reading = (async () => {
        for await (const text of reader) said += text;
      })();
      await until(
        () => /answering at .*\n/.test(said),
        "server in QEMU",
        () => said,
      );
      const { output } = await runMachine({
        "boot-source": {
          kernel_image_path: bytes,
          boot_args: "demo ip=10.9.0.1 peer=10.9.0.2",
        },
        "machine-config": { mem_size_mib: 32 },
        "network-interfaces": [{ iface_id: "eth0", socket: link.path }],
      });
      assert.match(output, /^payload: ok/m, `${output}\nQEMU: ${said}`);
      assert.ok(link.counts.sent >= 2);
      child.kill();
      await reading;
    } finally {
      try {
        child.kill("SIGKILL");
      } catch { /* it has ended */ }
      await child.status;
    }
  },
}));
