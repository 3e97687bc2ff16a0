/**
 * A boot from the cache against one from the beginning: with every option, and
 * with other things on the host the second time. Needs root for the network.
 */
import assert from "node:assert/strict";
import { KVM, needing, NETWORKS } from "../../ffi/testing/needs.ts";
import { Pty } from "../../ffi/testing/pty.ts";
import { FULL_LINUX, LINUX } from "../../images/testing/prepared.ts";
import { MAIN, type VireoResult } from "../../vmm/testing/command.ts";
import { TestNetwork } from "../../vmm/testing/mod.ts";
import { InstantCache } from "../testing/instant_cache.ts";

const RNG = new URL("../../examples/rng.ts", import.meta.url).pathname;

Deno.test(needing([KVM, LINUX], {
  name: "instant boot: --exec",
  async fn(t) {
    using cache = await InstantCache.make();
    const args = ["--quiet", "--exec", "echo $((6 * 7)); echo no >&2; exit 9"];
    const right = { code: 9, stdout: "42\nno\n", stderr: "" };

    await t.step("the next goes on from where the first asked", async () => {
      const both = await cache.twice(() => args);
      assert.deepEqual(both, [right, right]);
    });
    await t.step("other commands, and many of them", async () => {
      const text = "x".repeat(9000);
      const exec = `echo ${text}`;
      const { stdout } = await cache.boot(["--quiet", "--exec", exec]);
      assert.equal(stdout, `${text}\n`);
    });
    await t.step("several at once", async () => {
      const all = await Promise.all(
        [1, 2, 3].map((n) => cache.boot(["--quiet", "--exec", `echo ${n}`])),
      );
      assert.deepEqual(all.map(({ stdout }) => stdout), ["1\n", "2\n", "3\n"]);
    });
    await t.step("a user's mistake is told as always", async () => {
      const wrong = ["--disk", `${cache.dir}/none`, "--exec", "true"];
      const { code, stderr } = await cache.boot(wrong);
      assert.equal(code, 1);
      assert.match(stderr, /^vireo: disk ".*none": no such file\n$/);
    });
    await t.step("removed while in use: the machine goes on", async () => {
      const exec = "echo begun; sleep 1; ls -d /bin; echo done";
      const running = cache.start(["--quiet", "--exec", exec]);
      const said = new Response(running.stderr).text();
      const text = running.stdout.pipeThrough(new TextDecoderStream());
      let stdout = "";
      let there = true;
      for await (const part of text) {
        stdout += part;
        if (!there || !stdout.startsWith("begun\n")) continue;
        const away = `${cache.dir}/away`;
        Deno.renameSync(cache.entry, away);
        Deno.removeSync(away, { recursive: true });
        there = false;
      }
      assert.equal((await running.status).code, 0, await said);
      assert.match(stdout, /^begun\n.*\ndone\n$/s);
    });
  },
}));

Deno.test(needing([KVM, LINUX, NETWORKS, "ping", "mke2fs", "e2fsck"], {
  name: "instant boot: disks, network, vsock, balloon, own device, memory",
  async fn() {
    using cache = await InstantCache.make();
    const networks = [new TestNetwork(), new TestNetwork()];
    using _networks = new DisposableStack();
    for (const network of networks) _networks.use(network);
    const devices = [0, 1].map((turn) => {
      const path = `${cache.dir}/rng${turn}.ts`;
      Deno.writeTextFileSync(
        path,
        Deno.readTextFileSync(RNG)
          .replace("../mod.ts", new URL("../../mod.ts", import.meta.url).href)
          .replace("crypto.getRandomValues(", `((b) => b.fill(${turn + 65}))(`),
      );
      return path;
    });
    const disks = [0, 1].map((turn) => {
      const path = `${cache.dir}/disk${turn}`;
      Deno.writeFileSync(path, new Uint8Array((8 + 8 * turn) << 20));
      const { success } = new Deno.Command("mke2fs", {
        args: ["-q", "-t", "ext4", "-L", `turn${turn}`, path],
      }).outputSync();
      assert.ok(success);
      return path;
    });
    const [cold, instant] = await cache.twice((turn) => [
      ...["--quiet", "--memory", "96M", "--disk", disks[turn]!],
      ...["--disk", `${disks[1 - turn]},ro`, "--balloon", "0"],
      "--net",
      `tap=tap0,netns=${networks[turn]!.netns},mac=02:00:00:00:00:1${turn},` +
      `pcap=${cache.dir}/frames${turn}`,
      ...["--vsock", `cid=${30 + turn},uds=${cache.dir}/vsock`],
      ...["--device", devices[turn]!],
      ...["--cmdline", `ip=${networks[turn]!.guest}:::255.255.255.0::eth0:off`],
      "--exec",
      // A process costs a guest a quarter of a second of emulated kernel code.
      `mount -t ext4 /dev/vdb /mnt && echo ${turn} > /mnt/turn
       for file in /mnt/*; do echo \${file##*/}; done
       for disk in vdb vdc; do read n < /sys/block/$disk/size; echo $((n * 512)); done
       { echo write > /dev/vdc; } 2>/dev/null || echo read-only
       read mac < /sys/class/net/eth0/address; echo $mac
       set -- $(ip -4 -o addr show eth0); echo $3 $4
       ping -c 1 ${networks[turn]!.host} > /dev/null && echo pong
       read -n 4 bytes < /dev/hwrng; echo $bytes
       read total < /proc/meminfo; echo $total; wc -l < /proc/mounts
       read cpus < /sys/devices/system/cpu/online; echo $cpus
       set -- /sys/bus/virtio/devices/*; echo $#`,
    ]);
    const lines = ({ stdout }: VireoResult) => stdout.trim().split("\n");
    const expected = (turn: number, network: TestNetwork) => [
      ...["lost+found", "turn", `${(8 + 8 * turn) << 20}`],
      `${(16 - 8 * turn) << 20}`,
      ...["read-only", `02:00:00:00:00:1${turn}`],
      ...[`inet ${network.guest}/24`, "pong", "ABCD"[turn]!.repeat(4)],
    ];
    const seen = [cold, instant].map(lines);
    for (const turn of [0, 1]) {
      const said = [cold, instant][turn]!;
      assert.equal(said.code, 0, said.stdout + said.stderr);
      assert.deepEqual(
        seen[turn]!.slice(0, 9),
        expected(turn, networks[turn]!),
        said.stderr,
      );
      const frames = Deno.readFileSync(`${cache.dir}/frames${turn}`).toHex();
      const address = networks[turn]!.guest.split(".")
        .map((byte) => Number(byte).toString(16).padStart(2, "0")).join("");
      const announced = "08060001080006040001" + `02000000001${turn}` +
        `${address}000000000000${address}`; // an ARP request for oneself
      assert.ok(frames.includes(announced), "the neighbours are told");
      const { success } = new Deno.Command("e2fsck", {
        args: ["-fn", disks[turn]!],
      }).outputSync();
      assert.ok(success, `the disk of turn ${turn} is clean`);
    }
    assert.deepEqual(seen[1]!.slice(9), seen[0]!.slice(9), "and all the rest");
  },
}));

Deno.test(needing([KVM, FULL_LINUX], {
  name: "instant boot: several CPUs, ACPI, PCI, a virtio console and a port",
  async fn() {
    using cache = await InstantCache.make("full");
    const disk = `${cache.dir}/disk`;
    Deno.writeTextFileSync(disk, "a disk\n");
    Deno.truncateSync(disk, 1 << 20);
    const [cold, instant] = await cache.twice((turn) => [
      ...["--quiet", "--cpus", "2", "--transport", "pci", "--rng"],
      ...["--console", "virtio", "--port", `p=${cache.dir}/port${turn}`],
      ...["--disk", `${disk},ro`, "--exec"],
      // One process: each is dear, of emulated kernel code.
      `set -- /sys/devices/system/cpu/cpu[0-9]*; read cpus < \${1%/*}/online
       echo $#: $cpus; read line < /dev/vdb; echo "$line"
       for file in /dev/hvc0 /dev/vport*; do [ -c $file ] && echo $file; done
       dd if=/dev/hwrng of=/dev/null bs=9 count=1
       set -- /sys/bus/pci/devices/*; echo $#; printf '\\0\\1\\r\\n'; exit 3`,
    ]);
    assert.equal(cold.code, 3, cold.stderr + cold.stdout);
    assert.match(
      cold.stdout,
      /^2: 0-1\na disk\n\/dev\/hvc0\n.*\n1\+0 records in\n/s,
    );
    assert.deepEqual(instant, cold);
  },
}));

Deno.test(needing([KVM, LINUX], {
  name: "instant boot: an interactive shell, on a pipe and on a terminal",
  async fn(t) {
    using cache = await InstantCache.make();
    await t.step("on a pipe", async () => {
      const input = 'echo "<$((40 + 2))>"; pwd; echo $HOME $0\nexit\n';
      const [cold, instant] = await cache.twice(() => ["--quiet"], input);
      assert.equal(cold.code, 0, cold.stderr);
      assert.match(cold.stdout, /^<42>\r?\n\/\r?\n\/root sh/m);
      const shown = (text: string) => text.slice(text.indexOf("/ #"));
      assert.equal(shown(instant.stdout), shown(cold.stdout));
      assert.equal(instant.code, 0, instant.stderr);
    });
    await t.step("on a terminal, of its size and type", async () => {
      using pty = new Pty();
      const words = [MAIN, "boot", "--memory", "64M", "--quiet"].join(" ");
      const child = new Deno.Command("sh", {
        args: [
          "-c",
          `stty rows 33 cols 111 < ${pty.path}; exec ${Deno.execPath()} run ` +
          `-q -A ${words} < ${pty.path} > ${pty.path} 2>&1`,
        ],
        env: { TERM: "vt220", ...cache.env },
      }).spawn();
      await pty.shows("/ #");
      pty.type("stty size; echo $TERM; echo e''nd\r");
      await pty.shows("\nend");
      assert.match(pty.shown, /33 111\r*\nvt220\r*\nend/);
      pty.type("exit\r");
      assert.equal((await child.status).code, 0);
    });
  },
}));
