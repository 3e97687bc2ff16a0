/** Fuzzes the payload's virtio-blk; with what it tells of a finding, has it again. */
import { Machine, readPayload } from "../../mod.ts";
import { Blk, Fuzzer, openRawImage, rawBackend, says } from "../../lab.ts";

const [again] = Deno.args; // what a finding has told
const path = await Deno.makeTempFile();
await Deno.truncate(path, 1 << 20);
const disk = { path_on_host: path, is_root_device: false, is_read_only: true };
const machine = await Machine.create({
  "boot-source": {
    kernel_image_path: await readPayload(),
    boot_args: "gullible",
  },
  drives: [{ drive_id: "disk", ...disk }],
});
machine.pause();
machine.start(); // and is at its first instruction
using snapshot = await machine.snapshot();
await machine.stop();
const image = openRawImage({ path, readOnly: true });
const model = new Blk(rawBackend(image, 64, "Sync"), "disk");
using fuzzer = await Fuzzer.of(snapshot, {
  device: { name: "disk", model },
  until: { text: /^blk0: /, milliseconds: again ? 600_000 : 1000 },
  oracles: [says(/exception/)],
});
const onFinding = ({ text, changes }: { text: string; changes: unknown }) =>
  console.log(text, JSON.stringify(changes));
const found = again
  ? fuzzer.replay(JSON.parse(again)).finding
  : await fuzzer.run({ seed: 1, tries: 1000, first: true, onFinding });
console.log(found);
await Deno.remove(path);
