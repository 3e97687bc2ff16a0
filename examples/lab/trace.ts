/**
 * What a guest leaves for, and how long its disk's requests take, as CSV and as
 * a histogram:
 *
 *     deno run -A examples/lab/trace.ts trace.csv
 */
import { Machine, readPayload } from "../../mod.ts";

const image = await Deno.makeTempFile();
await Deno.truncate(image, 1 << 20);
await using machine = await Machine.create({
  "boot-source": { kernel_image_path: await readPayload() },
  drives: [{ drive_id: "d", path_on_host: image, is_root_device: false }],
});
const trace = await machine.traceBatches({ types: ["exit", "request"] });
machine.start();
const rows = ["ns,what,of,duration_ns"];
const bins = new Array<number>(40).fill(0);
for await (const batch of trace) {
  for (const event of batch) {
    if (event.type === "exit") {
      const { time, reason, device, register, duration } = event;
      rows.push([time, reason, `${device} ${register}`, duration].join());
    } else if (event.type === "request") {
      const { time, request, sector, duration } = event;
      rows.push([time, request, `sector ${sector}`, duration].join());
      bins[Math.ceil(Math.log2(duration / 1000))]!++;
    }
  }
}
Deno.writeTextFileSync(Deno.args[0]!, rows.join("\n") + "\n");
bins.forEach((count, bin) => {
  if (count > 0) console.log(`up to ${2 ** bin} us`, "#".repeat(count));
});
await Deno.remove(image);
