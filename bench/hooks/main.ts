/**
 * What the lab's hooks cost: each beside the same without it, in alternation.
 * Ratios are medians of pairs; what a ratio of 1 is worth on this host is what
 * "the same once more" has.
 *
 *     deno task bench:hooks [PAIRS] [MILLISECONDS] [HOOK]
 *
 * @module
 */
import { Machine, readPayload } from "../../mod.ts";
import { spread } from "../paths/pairs.ts";
import { hooks, type Row, type Side } from "./rows.ts";

const [pairs = 5, milliseconds = 300] = Deno.args.slice(0, 2).map(Number);
const only = Deno.args[2] ?? "";
const kernel = await readPayload();

/** Nanoseconds for each read, request or frame. */
async function measure({ words }: Row, side: Side): Promise<number> {
  let said = "";
  const decoder = new TextDecoder();
  await using machine = await Machine.create({
    "boot-source": {
      kernel_image_path: kernel,
      boot_args: `${words} ms=${milliseconds} ${side.words ?? ""}`,
    },
    "machine-config": { mem_size_mib: 16 },
    ...side.devices,
  }, {
    onOutput: (bytes) => said += decoder.decode(bytes, { stream: true }),
    onLog: (line) => console.error(line),
  });
  const trace = side.traced ? await machine.traceBatches() : undefined;
  machine.start();
  if (trace) { for await (const _batch of trace); }
  const { reason } = await machine.wait();
  const [, figure] = / ns_per_op=(\d+)/.exec(said) ?? [];
  if (figure === undefined) throw new Error(`${reason}: ${said}`);
  return Number(figure);
}

const folder = await Deno.makeTempDir({ prefix: "vireo-hooks-" });
try {
  const disk = `${folder}/disk`;
  await Deno.writeFile(disk, new Uint8Array(16 << 20));
  console.log("| hook | of | off, us | on, us | ratio |");
  console.log("| ---- | -- | ------- | ------ | ----- |");
  for (const row of hooks(disk, `${folder}/pcap`)) {
    if (!`${row.hook} ${row.unit}`.includes(only)) continue;
    const off: number[] = [], on: number[] = [], ratios: number[] = [];
    for (let pair = 0; pair < pairs; pair++) {
      const sides = [[off, row.off], [on, row.on]] as const;
      const inTurn = pair % 2 === 0 ? sides : sides.toReversed();
      for (const [values, side] of inTurn) {
        values.push(await measure(row, side));
      }
      ratios.push(on.at(-1)! / off.at(-1)!);
    }
    const us = (values: number[]) => (spread(values).median / 1000).toFixed(2);
    console.log(
      `| ${row.hook} | ${row.unit} | ${us(off)} | ${us(on)} ` +
        `| ${spread(ratios).median.toFixed(2)} |`,
    );
  }
} finally {
  await Deno.remove(folder, { recursive: true });
}
