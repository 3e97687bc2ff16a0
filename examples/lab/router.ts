/** Three Linux machines, a router among them: deno run -A examples/lab/router.ts */
import { Switch, type SwitchPlug } from "../../mod.ts";
import { linux } from "./linux.ts";

const up = (n: number, address: string) =>
  `ip address add ${address}/24 dev eth${n}; ip link set eth${n} up;`;

export async function measure(boot = linux): Promise<string> {
  await using stack = new AsyncDisposableStack();
  const [near, far] = [stack.use(new Switch()), stack.use(new Switch())];
  const [end, bad] = [near.plug(), far.plug({ latency: 20, rate: 10e6 })];
  const join = async (plugs: SwitchPlug[], commands: string) => {
    const eths = plugs.map((plug, n) => ({ iface_id: `eth${n}`, plug }));
    const machine = stack.use(await boot(eths));
    await machine.exec(commands);
    return machine;
  };
  const forward = "echo 1 >/proc/sys/net/ipv4/ip_forward";
  const route = "ip route add default via";
  const serve = "nc -ll -p 9 -e sha256sum >/dev/null 2>&1 &";
  const both = [end, far.plug()];
  await join(both, up(0, "10.1.0.1") + up(1, "10.2.0.1") + forward);
  await join([bad], `${up(0, "10.2.0.2")} ${route} 10.2.0.1; ${serve}`);
  const one = await join([end], `${up(0, "10.1.0.2")} ${route} 10.1.0.1`);
  const slow = await one.exec("ping -c 3 -i 0.2 10.2.0.2");
  bad.reshape({ loss: 0.3, seed: 4 });
  const lossy = await one.exec("ping -c 20 -i 0.05 -W 1 10.2.0.2");
  bad.reshape({ rate: 10e6, loss: 0.02 });
  const data = "head -c 65536 /bin/busybox >/tmp/d; sha256sum </tmp/d";
  const sent = await one.exec(`${data}; time nc 10.2.0.2 9 </tmp/d`);
  return slow.text() + lossy.text() + sent.text() + sent.errorText();
}
if (import.meta.main) console.log(await measure());
