/** Ten machines at once, each with a disk: deno run -A examples/lab/many.ts 10 */
import { Machine, readPayload } from "../../mod.ts";

const kernel = await readPayload();
const run = async (_: unknown, n: number) => {
  const disk = await Deno.makeTempFile();
  await Deno.truncate(disk, 8 << 20);
  let said = "";
  await using machine = await Machine.create({
    "boot-source": {
      kernel_image_path: kernel,
      boot_args: "bench=blk-randread qd=4 ms=200 wait=irq",
    },
    "machine-config": { mem_size_mib: 16 },
    drives: [{ drive_id: "d", path_on_host: disk, is_root_device: false }],
  }, { onOutput: (bytes) => said += new TextDecoder().decode(bytes) });
  machine.start();
  const { reason } = await machine.wait();
  await Deno.remove(disk);
  return [n, reason, /ops_per_s=\d+/.exec(said)?.[0], machine.exits];
};
const count = Number(Deno.args[0] ?? 10);
const all = await Promise.all(Array.from({ length: count }, run));
for (const machine of all) console.log(...machine);
