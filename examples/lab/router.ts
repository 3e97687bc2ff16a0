/** Three Linux machines, a router among them: deno run -A examples/lab/router.ts */
import { Switch } from "../../mod.ts";
import { linux } from "./linux.ts";

const up = (n: number, address: string) =>
  `ip address add ${address}/24 dev eth${n}; ip link set eth${n} up;`;

export async function ping(folder: string, boot = linux): Promise<string> {
  await using stack = new AsyncDisposableStack();
  const [near, far] = [stack.use(new Switch()), stack.use(new Switch())];
  const ends = [near.listen(`${folder}/near`), far.listen(`${folder}/far`)];
  const bad = far.listen(`${folder}/bad`, { latency: 20, rate: 10e6 });
  const join = async (links: { path: string }[], commands: string) => {
    const eths = links.map(({ path: socket }, n) => ({
      ...{ iface_id: `eth${n}`, socket },
    }));
    const machine = stack.use(await boot(eths));
    await machine.exec(commands);
    return machine;
  };
  const forward = "echo 1 >/proc/sys/net/ipv4/ip_forward";
  const route = "ip route add default via";
  await join(ends, up(0, "10.1.0.1") + up(1, "10.2.0.1") + forward);
  await join([bad], `${up(0, "10.2.0.2")} ${route} 10.2.0.1`);
  const one = await join([ends[0]!], `${up(0, "10.1.0.2")} ${route} 10.1.0.1`);
  const slow = await one.exec("ping -c 3 -i 0.2 10.2.0.2");
  bad.reshape({ loss: 0.3, seed: 4 });
  const lossy = await one.exec("ping -c 20 -i 0.05 -W 1 10.2.0.2");
  return slow.text() + lossy.text();
}
if (import.meta.main) console.log(await ping(Deno.makeTempDirSync()));
