/**
 * Networks of the prepared Linux: several queues, a capture, a function as a
 * network, and passt. Two boots.
 */
import assert from "node:assert/strict";
import { KVM, needing, NETWORKS, TUN } from "../../ffi/testing/needs.ts";
import { prepared } from "../../images/linux/prepare.ts";
import { FULL_LINUX, LINUX } from "../../images/testing/prepared.ts";
import { boot, MAIN } from "../testing/command.ts";
import { command, TestNetwork } from "../testing/mod.ts";

const PONG = new URL("../../examples/pong.ts", import.meta.url).pathname;

Deno.test(needing([KVM, NETWORKS, FULL_LINUX, "tcpdump"], {
  name: "Linux: four queues of a TAP, a capture, and a function as a network",
  async fn(t) {
    const { kernel } = (await prepared("full"))!;
    using network = new TestNetwork({ multiQueue: true });
    const { netns, host, guest } = network;
    const capture = Deno.makeTempFileSync({ prefix: "vireo-pcap-" });
    using _capture = { [Symbol.dispose]: () => Deno.removeSync(capture) };
    const { code, stdout, stderr } = await boot([
      ...[kernel, "--root", "busybox", "--memory", "128M"],
      ...["--transport", "pci"], // there each queue has an interrupt, and a name
      ...["--net", `tap=tap0,netns=${netns},queues=4,pcap=${capture}`],
      ...["--net", `handler=${PONG}`],
      ...["--cmdline", `ip=${guest}:::255.255.255.0::eth0:off`],
      "--exec",
      `ifconfig eth1 10.0.0.2 netmask 255.255.255.0
      grep -c 'virtio1-input' /proc/interrupts
      ping -c 3 -W 30 ${host} | grep received
      ping -c 3 -W 30 10.0.0.1 | grep received`,
    ]);
    const all = stdout + stderr;
    assert.equal(code, 0, all);
    const [queues, tap, handler] = stdout.trim().split("\n");
    await t.step("the guest has four receive queues", () => {
      assert.equal(queues, "4", all);
    });
    await t.step("the host answers the guest's pings over the TAP", () => {
      assert.match(tap!, /3 packets received/);
    });
    await t.step("examples/pong.ts answers the guest's pings", () => {
      assert.match(handler!, /3 packets received/);
    });
    await t.step("tcpdump reads the capture, pings and answers", async () => {
      const text = await command("tcpdump", "-n", "-r", capture, "icmp");
      const requests = text.match(
        new RegExp(`IP ${guest} > ${host}: ICMP echo request`, "g"),
      );
      const replies = text.match(
        new RegExp(`IP ${host} > ${guest}: ICMP echo reply`, "g"),
      );
      assert.deepEqual([requests?.length, replies?.length], [3, 3], text);
    });
  },
}));

/** The host's side, in a user and a network namespace of its own. */
const PASST_SCRIPT = `
  ip tuntap add out mode tap
  ip address add 10.119.0.2/24 dev out
  ip link set out up; ip link set lo up
  ip route add default via 10.119.0.1
  "$DENO" eval 'Deno.serve({ hostname: "127.0.0.1", port: 8000 },
    () => new Response("from the loopback"))' >/dev/null 2>&1 &
  server=$!
  "$DENO" run -A "$MAIN" boot --quiet --memory 64M --net passt \\
    --cmdline 'ip=10.119.0.2::10.119.0.1:255.255.255.0::eth0:off' \\
    --exec 'for i in 1 2 3 4 5; do
      wget -q -O - http://10.119.0.1:8000/ && break; sleep 1; done; echo; id -u'
  status=$?
  kill $server
  exit $status`;

Deno.test(needing([KVM, LINUX, TUN, "passt", "unshare", "ip"], {
  name: "Linux: passt lets the guest fetch from the host's loopback",
  async fn() {
    const before = passtFolders();
    const { success, stdout, stderr } = await new Deno.Command("unshare", {
      args: ["--user", "--map-root-user", "--net", "sh", "-c", PASST_SCRIPT],
      env: { DENO: Deno.execPath(), MAIN, NO_COLOR: "1" },
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assert.ok(success, text(stdout) + text(stderr));
    assert.match(text(stdout), /^from the loopback$/m);
    assert.deepEqual(passtFolders(), before, "nothing stays behind");
  },
}));

function passtFolders(): string[] {
  return Array.from(Deno.readDirSync("/tmp"), ({ name }) => name)
    .filter((name) => name.startsWith("vireo-passt-")).toSorted();
}
