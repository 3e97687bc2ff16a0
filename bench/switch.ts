/**
 * Frames of 1,514 bytes from one guest to another, through a Switch, by plugs
 * and by sockets, and through a bridge of two TAPs, in alternation. The guests
 * are payloads: what they get is counted by the receiver. It takes root.
 *
 *     deno run -A bench/switch.ts [PAIRS] [MILLISECONDS]
 *
 * @module
 */
import { Machine, readPayload, Switch } from "../mod.ts";
import type { NetworkInterface } from "../mod.ts";
import { bridge } from "./bridge.ts";
import { spread } from "./paths/pairs.ts";

const [pairs = 5, milliseconds = 500] = Deno.args.map(Number);
const kernel = await readPayload();

/** A payload on this network; what it prints, when it has ended. */
function start(words: string, network: Omit<NetworkInterface, "iface_id">) {
  let said = "";
  const made = Machine.create({
    "boot-source": { kernel_image_path: kernel, boot_args: words },
    "machine-config": { mem_size_mib: 16 },
    "network-interfaces": [{ iface_id: "eth0", ...network }],
  }, { onOutput: (bytes) => said += new TextDecoder().decode(bytes) });
  return made.then((machine) => {
    machine.start();
    return { machine, ended: machine.wait().then(() => said) };
  });
}

/** Bytes per second that arrive. */
async function throughput(
  ends: Omit<NetworkInterface, "iface_id">[],
): Promise<number> {
  const receiver = await start(`bench=net-rx ms=${milliseconds}`, ends[1]!);
  await using _receiver = receiver.machine;
  const words = "bench=net-tx frame=1514 qd=64 seconds=60";
  const sender = await start(words, ends[0]!);
  await using _sender = sender.machine;
  const said = await receiver.ended;
  const [, figure] = / bytes_per_s=(\d+)/.exec(said) ?? [];
  if (figure === undefined) throw new Error(said);
  return Number(figure);
}

await using stack = new AsyncDisposableStack();
const folder = await Deno.makeTempDir({ prefix: "vireo-switch-" });
stack.defer(() => Deno.remove(folder, { recursive: true }));
const [one, other] = await bridge(2, stack);
const network = stack.use(new Switch());
const plug = network.plug();
const { path: socket } = network.listen(`${folder}/switch`);

const figures: Record<"plugs" | "sockets" | "bridge", number[]> = {
  plugs: [],
  sockets: [],
  bridge: [],
};
for (let pair = 0; pair < pairs; pair++) {
  figures.plugs.push(await throughput([{ plug }, { plug }]));
  figures.sockets.push(await throughput([{ socket }, { socket }]));
  figures.bridge.push(await throughput([one!, other!]));
}
for (const [name, all] of Object.entries(figures)) {
  const ratios = all.map((figure, pair) => figure / figures.bridge[pair]!);
  const { median, min, max } = spread(all);
  const [mb, least, most] = [median, min, max]
    .map((figure) => (figure / 1e6).toFixed(1));
  console.log(
    `${name}: ${mb} MB/s (${least} to ${most}), ` +
      `${spread(ratios).median.toFixed(2)} of the bridge's`,
  );
}
