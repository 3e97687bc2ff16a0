/**
 * A machine under disk and network I/O is saved in a folder and ended, and what
 * was saved goes on and is the next to be saved.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { KVM, NETWORKS } from "../../../ffi/testing/needs.ts";
import { until } from "../../../ffi/testing/until.ts";
import { LINUX } from "../../../images/testing/prepared.ts";
import { Machine } from "../../../vmm/machine.ts";
import { removeFolder } from "../../../vmm/snapshot/mod.ts";
import { LinuxGuest } from "../../../cli/testing/linux.ts";
import { command, TestNetwork } from "../../../vmm/testing/mod.ts";
import type { Shell } from "../../../vmm/testing/sums.ts";
import { Twin } from "../../../vmm/testing/twin.ts";
import { type Campaign, Folder, spread } from "./campaign.ts";

const ANSWERS = new URL("answers.ts", import.meta.url).pathname;
const PORT = 8000;
/** Requests that are answered between two saves. */
const REQUESTS = 4;
/** Asks the host, one number after the other, and logs what is answered. */
const ASKS = "c() { i=0; while [ ! -e /run/stop ]; do i=$((i + 1)); " +
  'x="$i $((i * i))"; echo $x >&4; read a b <&5; ' +
  '[ "$a $b" = "$x" ] || echo $x: $a $b >> /run/wrong; ' +
  "echo $x >> /mnt/log; done; }";
/** Writes numbered files, and reads them from the disk again. */
const BLOCKS = "d() { j=0; while [ ! -e /run/stop ]; do j=$((j + 1)); " +
  "echo $j $P $((j * j)) > /mnt/f$((j % 8)); [ $((j % 8)) = 7 ] || continue; " +
  "echo 1 > /proc/sys/vm/drop_caches; k=$((j - 6)); " +
  "while [ $k -le $j ]; do read a p b < /mnt/f$((k % 8)); " +
  '[ "$a $p $b" = "$k $P $((k * k))" ] || echo $k: $a $p $b >> /run/wrong; ' +
  "k=$((k + 1)); done; done; echo $j > /run/blocks; }";

/** Save and restore, one after the other. */
export const GENERATIONS: Campaign = {
  rounds: 100,
  needs: [KVM, LINUX, NETWORKS, "ping", "mke2fs", "e2fsck", "debugfs"],
  async run(rounds, say) {
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(new Folder());
    const network = stack.use(new TestNetwork());
    const disk = `${folder.path}/disk`;
    await command("mke2fs", "-q", "-t", "ext4", disk, "32M");
    const received = `${folder.path}/received`;
    Deno.writeFileSync(received, new Uint8Array());
    const host = [network.host, `${PORT}`, received];
    const server = network.spawn(
      ...[Deno.execPath(), "run", "--quiet", "-A", ANSWERS, ...host],
    );
    stack.defer(async () => {
      server.kill("SIGKILL");
      await server.status;
    });
    const answered = () =>
      Deno.readTextFileSync(received).split("\n").length - 1;
    const saves: number[] = [];
    const restores: number[] = [];
    let ping: Ping | undefined;
    stack.defer(() => ping?.end().then(() => {}));
    let last = 0;
    let from: string | undefined;
    for (let round = 1; round <= rounds; round++) {
      const begun = performance.now();
      await using guest = from === undefined
        ? await first(disk, network)
        : await Twin.of((options) => Machine.restore(from!, {}, options));
      if (from !== undefined) {
        restores.push(performance.now() - begun);
        removeOld(folder.path, round - 2);
      } else ping = new Ping(network);
      const machine = "test" in guest ? guest.test.machine : guest.machine;
      const goal = last + REQUESTS;
      await until(() => answered() >= goal, `answer ${goal}`, answered);
      last = answered();
      const start = performance.now();
      await machine.pause();
      from = `${folder.path}/saved${round}`;
      using snapshot = await machine.snapshot();
      snapshot.save(from);
      saves.push(performance.now() - start);
      say(`generation ${round}: ${last} answers`);
    }
    await using guest = await Twin.of((options) =>
      Machine.restore(from!, {}, options)
    );
    const pings = await ping!.end();
    ping = undefined;
    const { log, blocks } = await ended(guest, disk);
    const sent = Deno.readTextFileSync(received);
    assert.equal(sent, numbers(answered()), "none is lost, none comes twice");
    const [a, b, c] = [sha256(sent), sha256(log.disk), log.guest];
    assert.deepEqual([b, c], [a, a], "host, disk and guest have the same");
    return `${answered()} requests over TCP, each answered once; log on ` +
      `disk, in the guest and at the host with one SHA-256; ${blocks} blocks ` +
      `read back right; e2fsck clean; ${pings}; save ${spread(saves)} ms, ` +
      `restore ${spread(restores)} ms`;
  },
};

function removeOld(folder: string, round: number): void {
  if (round > 0) removeFolder(`${folder}/saved${round}`);
}

async function first(disk: string, network: TestNetwork): Promise<LinuxGuest> {
  const linux = await LinuxGuest.boot({
    "machine-config": { mem_size_mib: 64 },
    drives: [{ drive_id: "data", path_on_host: disk, is_root_device: false }],
    "network-interfaces": [{
      iface_id: "net",
      host_dev_name: "tap0",
      netns: network.netns,
    }],
    entropy: {},
  }, "console=ttyS0 clocksource=kvm-clock");
  const lines = [
    ...["dmesg -n 1", ASKS, BLOCKS, `P=${"0123456789".repeat(8)}`],
    "mount -t ext4 -o sync /dev/vdb /mnt",
    `ifconfig eth0 ${network.guest} netmask 255.255.255.0 up`,
    "mkfifo /run/q /run/r; touch /run/wrong",
    `nc ${network.host} ${PORT} < /run/q > /run/r & true`,
    "exec 4> /run/q 5< /run/r",
    "c & true",
    "s=$!; d & true",
    "w=$!",
  ];
  for (const line of lines) assert.equal(await linux.run(line), "", line);
  return linux;
}

/** The loops end, and the disk is at rest; what is on it and in the guest. */
async function ended(guest: Twin & Shell, disk: string) {
  await guest.run("touch /run/stop; wait $s $w");
  await guest.run(":"); // the shell tells of it
  assert.equal(await guest.run("cat /run/wrong"), "");
  const blocks = await guest.run("cat /run/blocks");
  await guest.run("umount /mnt; mount -t ext4 /dev/vdb /mnt");
  const [hash = ""] = (await guest.run("sha256sum /mnt/log")).split(" ");
  assert.equal(await guest.run("umount /mnt"), "");
  await guest.machine.stop();
  await command("e2fsck", "-fn", disk);
  const onDisk = await command("debugfs", "-R", "cat /log", disk);
  return { blocks, log: { guest: hash, disk: onDisk } };
}

/** All that the guest has asked. */
function numbers(count: number): string {
  let text = "";
  for (let i = 1; i <= count; i++) text += `${i} ${i * i}\n`;
  return text;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** Pings the guest all the time. Who isn't there loses them, but none is doubled. */
class Ping {
  readonly #child: Deno.ChildProcess;

  constructor({ netns, guest }: TestNetwork) {
    this.#child = new Deno.Command("ip", {
      args: ["netns", "exec", netns, "ping", "-i", "0.2", guest],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
  }

  /** What it has seen, once it is over. */
  async end(): Promise<string> {
    this.#child.kill("SIGINT");
    const { stdout } = await this.#child.output();
    const text = new TextDecoder().decode(stdout);
    assert.doesNotMatch(text, /DUP!|duplicates/);
    const [, sent, back] = /(\d+) packets transmitted, (\d+) received/
      .exec(text) ?? [];
    return `${back} of ${sent} pings back, none twice`;
  }
}
