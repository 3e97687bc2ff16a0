/** The prepared Linux with networks, and an agent for `machine.exec`. */
import { Machine, prepare, prepared } from "../../mod.ts";
import type { NetworkInterface } from "../../mod.ts";

export async function linux(networks: NetworkInterface[]): Promise<Machine> {
  const { kernel, rootfs } = await prepared() ?? await prepare();
  const machine = await Machine.create({
    "boot-source": { kernel_image_path: kernel, boot_args: "quiet panic=-1" },
    drives: [{
      drive_id: "root",
      path_on_host: rootfs,
      is_root_device: true,
      is_read_only: true,
    }],
    "network-interfaces": networks,
    console: { agent: true },
  });
  machine.start();
  return machine;
}
