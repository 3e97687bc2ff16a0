/**
 * For tests: a machine whose guest writes a journal to a disk, as a process
 * that can be killed. Arguments: the image, and `direct` or `cached`.
 *
 * @module
 */
import { readPayload } from "../../images/payload/payload.ts";
import { Machine } from "../machine.ts";

const [path = "", how] = Deno.args;
await using machine = await Machine.create(
  {
    "boot-source": {
      kernel_image_path: await readPayload(),
      boot_args: "journal",
    },
    "machine-config": { mem_size_mib: 16 },
    drives: [{
      drive_id: "journal",
      path_on_host: path,
      is_root_device: false,
      direct: how === "direct",
    }],
  },
  { onOutput: (bytes) => void Deno.stdout.writeSync(bytes) },
);
machine.start();
console.log(await machine.wait());
