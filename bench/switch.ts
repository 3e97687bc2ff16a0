/**
 * Frames of 1,514 bytes from one guest to another, through a Switch and through
 * a bridge of two TAPs, in alternation. The guests are payloads: what they get
 * is counted by the receiver. It takes root.
 *
 *     deno run -A bench/switch.ts [PAIRS] [MILLISECONDS]
 *
 * @module
 */
import { Machine, readPayload, Switch } from "../mod.ts";
import type { NetworkInterface } from "../mod.ts";
import { median } from "./snapshot/figures.ts";

const [pairs = 5, milliseconds = 500] = Deno.args.map(Number);
const kernel = await readPayload();
const netns = `vireo-bench-${Deno.pid}`;

async function ip(...words: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("ip", { args: words })
    .output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

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
await ip("netns", "add", netns);
stack.defer(() => ip("netns", "delete", netns));
await ip("-n", netns, "link", "add", "br0", "type", "bridge");
await ip("-n", netns, "link", "set", "br0", "up");
// The payload's headers have no checksums, which a firewall would look at.
const calls = "/proc/sys/net/bridge/bridge-nf-call-iptables";
const off = `[ ! -e ${calls} ] || echo 0 >${calls}`;
await ip("netns", "exec", netns, "sh", "-c", off);
const taps = ["tap0", "tap1"];
for (const tap of taps) {
  await ip("-n", netns, "tuntap", "add", tap, "mode", "tap");
  await ip("-n", netns, "link", "set", tap, "master", "br0", "up");
}
const network = stack.use(new Switch());
const { path: socket } = network.listen(`${folder}/switch`);
const bridged = taps.map((host_dev_name) => ({ host_dev_name, netns }));

const through: number[] = [], bridge: number[] = [], ratios: number[] = [];
for (let pair = 0; pair < pairs; pair++) {
  through.push(await throughput([{ socket }, { socket }]));
  bridge.push(await throughput(bridged));
  ratios.push(through.at(-1)! / bridge.at(-1)!);
}
const mb = (values: number[]) => (median(values) / 1e6).toFixed(1);
console.log(
  `switch ${mb(through)} MB/s, bridge of TAPs ${mb(bridge)} MB/s, ` +
    `ratio ${median(ratios).toFixed(2)}`,
);
