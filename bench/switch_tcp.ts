/**
 * TCP from one Linux machine to another, through a Switch, by plugs and by
 * sockets, and through a bridge of two TAPs, in alternation: the same two
 * machines, with an interface for each way. It takes root.
 *
 *     deno run -A bench/switch_tcp.ts [ROUNDS] [KIB]
 *
 * @module
 */
import { linux } from "../examples/lab/linux.ts";
import { type NetworkInterface, Switch } from "../mod.ts";
import { bridge } from "./bridge.ts";
import { spread } from "./paths/pairs.ts";

const [rounds = 5, kib = 512] = Deno.args.map(Number);

await using stack = new AsyncDisposableStack();
const folder = await Deno.makeTempDir({ prefix: "vireo-switch-" });
stack.defer(() => Deno.remove(folder, { recursive: true }));
const taps = await bridge(2, stack);
const network = stack.use(new Switch());
const plug = network.plug(), large = network.plug();
const { path: socket } = network.listen(`${folder}/switch`);

const WAYS = ["plugs", "plugs, MTU 65535", "sockets", "bridge"] as const;
const [sender, receiver] = await Promise.all(taps.map(async (tap, end) => {
  const ends: Omit<NetworkInterface, "iface_id">[] = [
    { plug },
    { plug: large, mtu: 65535 },
    { socket },
    tap,
  ];
  const machine = stack.use(
    await linux(ends.map((at, n) => ({ iface_id: `eth${n}`, ...at }))),
  );
  const up = ends.map((_, n) =>
    `ip address add 10.${n}.0.${end + 1}/24 dev eth${n}; ip link set eth${n} up`
  );
  await machine.exec(up.join("; "));
  return machine;
}));
await receiver!.exec("nc -ll -p 9 -e sha256sum >/dev/null 2>&1 &");
// What is in it is of no matter to any of them.
const data = "while [ $((i++)) -lt 9 ]; do cat /bin/busybox; done";
await sender!.exec(`(${data}) | head -c ${kib * 1024} >/tmp/data`);
const sum = (await sender!.exec("sha256sum </tmp/data")).text();

/** Bytes per second, by the guest's clock. */
async function throughput(way: number): Promise<number> {
  const sent = await sender!.exec(`time nc 10.${way}.0.2 9 </tmp/data`);
  const [, minutes, seconds] = /^real\s+(\d+)m ([\d.]+)s$/m
    .exec(sent.errorText()) ?? [];
  if (sent.text() !== sum) throw new Error(sent.errorText() + sent.text());
  return kib * 1024 / (60 * Number(minutes) + Number(seconds));
}

const figures = WAYS.map((): number[] => []);
for (let round = 0; round < rounds; round++) {
  for (const way of WAYS.keys()) figures[way]!.push(await throughput(way));
}
WAYS.forEach((name, way) => {
  const all = figures[way]!;
  const ratios = all.map((figure, round) => figure / figures[3]![round]!);
  const { median, min, max } = spread(all);
  const [kb, least, most] = [median, min, max]
    .map((figure) => Math.round(figure / 1e3));
  console.log(
    `${name}: ${kb} kB/s (${least} to ${most}), ` +
      `${spread(ratios).median.toFixed(2)} of the bridge's`,
  );
});
