/**
 * How long 32 readers wait for an arm, by who is next: requests, and the
 * median, the 99th percentile and the longest wait in milliseconds.
 *
 *     deno run -A examples/lab/scheduling.ts
 */
import { Machine, readPayload } from "../../mod.ts";

const words = `bench=blk-randread qd=32 ms=${Deno.args[0] ?? 1000} wait=irq`;
for (const policy of ["fifo", "nearest"]) {
  await using machine = await Machine.create({
    "boot-source": {
      kernel_image_path: await readPayload(),
      boot_args: words,
    },
    drives: [{
      drive_id: "arm",
      is_root_device: false,
      backend: import.meta.resolve("./arm.ts"),
      backend_options: { policy },
    }],
  }, { onLog: console.log });
  const trace = await machine.traceBatches({ types: ["request"] });
  machine.start();
  const waits: number[] = [];
  for await (const batch of trace) {
    for (const one of batch) {
      if (one.type === "request") waits.push(Math.round(one.duration / 1e6));
    }
  }
  waits.sort((a, b) => a - b);
  const at = (part: number) => waits[Math.floor(part * (waits.length - 1))];
  console.log(policy, waits.length, ...[0.5, 0.99, 1].map(at));
}
