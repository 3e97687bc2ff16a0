/** The payload on another VMM. */
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { readPayload } from "./payload.ts";

Deno.test(needing([KVM, "qemu-system-x86_64"], {
  name: "payload: QEMU boots it through the note",
  async fn(): Promise<void> {
    const path = await Deno.makeTempFile({ prefix: "vireo-payload-" });
    try {
      await Deno.writeFile(path, await readPayload());
      const { stdout } = await new Deno.Command("timeout", {
        // deno-fmt-ignore
        args: [
          "600", "qemu-system-x86_64", "-accel", "kvm", "-cpu", "qemu64",
          "-M", "microvm,acpi=off,rtc=on", "-m", "32M", "-kernel", path, "-append", "demo",
          "-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
        ],
        stdin: "null",
      }).output();
      const output = new TextDecoder().decode(stdout);
      if (!output.includes("payload: ok")) {
        throw new Error(`it printed: ${output}`);
      }
    } finally {
      await Deno.remove(path);
    }
  },
}));
