/**
 * Proof that the hot paths allocate nothing: the same I/O for one second and
 * for ten needs the same number of garbage collections.
 *
 *     deno run -A bench/gc_count.ts
 *
 * @module
 */
import { payloadPath } from "../images/payload/payload.ts";

const MAIN = new URL("../main.ts", import.meta.url).pathname;
const DISK_SIZE = 64 * 1024 * 1024;
const WORKLOADS = [
  "blk-randread qd=1",
  "blk-randread qd=32",
  "blk-randwrite qd=32",
  "doorbell",
  "mmio-ack",
];

/** Collections in all isolates, and operations, of one run. */
async function run(
  workload: string,
  seconds: number,
  disk: string,
): Promise<{ collections: number; operations: number }> {
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--v8-flags=--trace-gc", MAIN, "boot"],
      ...[payloadPath.pathname, "--memory", "64M", "--disk", disk],
      ...["--cmdline", `bench=${workload} wait=poll seconds=${seconds}`],
    ],
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  const text = decoder.decode(stdout) + decoder.decode(stderr);
  const operations = Number(/ ops=(\d+)/.exec(text)?.[1]);
  if (!operations) throw new Error(`${workload}: no result:\n${text}`);
  const collections = text.match(/: (Scavenge|Mark-Compact)/g)?.length ?? 0;
  return { collections, operations };
}

if (import.meta.main) {
  const disk = Deno.makeTempFileSync({ prefix: "vireo-bench-" });
  try {
    Deno.truncateSync(disk, DISK_SIZE);
    console.log("workload               seconds  operations  collections");
    for (const workload of WORKLOADS) {
      for (const seconds of [1, 10]) {
        const { collections, operations } = await run(workload, seconds, disk);
        console.log(
          workload.padEnd(23) + String(seconds).padStart(7) +
            String(operations).padStart(12) + String(collections).padStart(13),
        );
      }
    }
  } finally {
    Deno.removeSync(disk);
  }
}
