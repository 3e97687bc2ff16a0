/**
 * A disk with a bad sector, a slow tail and lost writes, and what happened:
 *
 *     deno run -A examples/lab/faults.ts 7
 */
import { Machine, readPayload } from "../../mod.ts";

const image = await Deno.makeTempFile();
await Deno.truncate(image, 1 << 20);
await using machine = await Machine.create({
  "boot-source": { kernel_image_path: await readPayload() },
  drives: [{
    drive_id: "disk",
    path_on_host: image,
    is_root_device: false,
    faults: {
      seed: Number(Deno.args[0]),
      rules: [
        { on: "read", effect: "error", first_sector: 0, last_sector: 0 },
        { on: "read", effect: "delay", probability: 0.5, mean_ms: 2 },
        { on: "write", effect: "drop", probability: 0.2 },
      ],
    },
  }],
}, {
  onOutput: (bytes) => Deno.stdout.writeSync(bytes),
  onEvent: ({ device, name, data }) =>
    console.error(device, name, JSON.stringify(data)),
});
machine.start();
await machine.wait();
await Deno.remove(image);
