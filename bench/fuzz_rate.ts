/**
 * Tries a second of the fuzzer against the payload's virtio-blk, and where the
 * time of one goes: from an answer to the driver's next accesses, and a whole
 * probe, which prints four lines of text.
 *
 *     deno run -A bench/fuzz_rate.ts [ROUNDS] [MILLISECONDS]
 *
 * @module
 */
import {
  Blk,
  Fuzzer,
  type FuzzerOptions,
  openRawImage,
  rawBackend,
} from "../lab.ts";
import { Machine, readPayload } from "../mod.ts";
import { spread } from "./paths/pairs.ts";

const [rounds = 5, milliseconds = 1000] = Deno.args.map(Number);
/** The register that a try begins with: the device's features (§4.2.2). */
const DEVICE_FEATURES = 0x10;
/** Far off: nothing of the payload's takes so long. */
const PATIENCE = 60_000;

const features: FuzzerOptions["from"] = ({ offset }) =>
  offset === DEVICE_FEATURES;
const TASKS: Record<string, Partial<FuzzerOptions>> = {
  "one answer, to the next access": {
    from: features,
    until: { accesses: 1, milliseconds: PATIENCE },
  },
  "one answer, to the 8th access": {
    from: features,
    until: { accesses: 8, milliseconds: PATIENCE },
  },
  "a whole probe": { until: { text: /^blk0: /, milliseconds: PATIENCE } },
};

const path = await Deno.makeTempFile();
await Deno.truncate(path, 1 << 20);
const disk = { path_on_host: path, is_root_device: false, is_read_only: true };
const machine = await Machine.create({
  "boot-source": { kernel_image_path: await readPayload() },
  "machine-config": { mem_size_mib: 16 },
  drives: [{ drive_id: "disk", ...disk }],
});
machine.pause();
machine.start(); // and is at its first instruction
using snapshot = await machine.snapshot();
await machine.stop();

for (const [name, options] of Object.entries(TASKS)) {
  const image = openRawImage({ path, readOnly: true });
  const model = new Blk(rawBackend(image, 64, "Sync"), "disk");
  const device = { name: "disk", model };
  using fuzzer = await Fuzzer.of(snapshot, { device, ...options });
  const rates: number[] = [], ran: number[] = [], spent: number[] = [];
  const { accesses, output, instructions } = fuzzer.replay([]);
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    let tries = 0, inGuest = 0;
    while (performance.now() - start < milliseconds) {
      inGuest += fuzzer.replay([]).milliseconds;
      tries++;
    }
    const all = performance.now() - start;
    rates.push(1000 * tries / all);
    ran.push(1000 * inGuest / tries);
    spent.push(1000 * (all - inGuest) / tries);
  }
  const { median, min, max } = spread(rates);
  const [middle, least, most] = [median, min, max].map(Math.round);
  console.log(
    `${name}: ${middle} tries/s (${least} to ${most}); of a try ` +
      `${Math.round(spread(ran).median)} us in the guest, ` +
      `${Math.round(spread(spent).median)} us to go back; ` +
      `${accesses} accesses, ${output.length} bytes printed, ` +
      `${instructions} instructions`,
  );
}
await Deno.remove(path);
