/**
 * Linux is saved, goes on elsewhere, is forked and put back while it computes
 * and writes to a disk: one boot for each kind of machine.
 */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { MiB } from "../../guest/layout.ts";
import { LINUX } from "../../images/testing/prepared.ts";
import type { VmConfig } from "../config/types.ts";
import { Machine } from "../machine.ts";
import { LinuxGuest } from "../../cli/testing/linux.ts";
import { ScratchFile } from "../testing/mod.ts";
import { NUMBERS, sum, SUMS } from "../testing/sums.ts";
import { Twin } from "../testing/twin.ts";
import type { Overrides } from "./mod.ts";

const TWINS = 2;
const FORKS = 3;
const RESETS = 8;
/** A network with only the host. */
const HOST = new URL("../../examples/pong.ts", import.meta.url).pathname;

/** Also flushes the disk, each time; how many times it did. */
const WRITES = "(while :; do dd if=/proc/cmdline of=/dev/vdb bs=4k count=4 " +
  "conv=fsync 2>/dev/null; i=$((i + 1)); echo $i . $i > writes; done) & true";

/** Connections to a port where nobody answers. */
const PORTS = [4000, 4001];
const RANGE = "/proc/sys/net/ipv4/ip_local_port_range"; // of one port
// In a shell of its own: this one would tell of its end, after two minutes.
const CONNECT =
  `connect() { echo $1 $1 > ${RANGE}; (nc 10.0.0.1 9 </dev/null 2>/dev/null &); }`;
/** All of 99 bytes. */
const RANDOM =
  "dd if=/dev/hwrng of=/dev/null bs=99 count=1 iflag=fullblock 2>&1";
/** What 50 ms are in sequence numbers. */
const JITTER = 50e6 / 64;

/**
 * How far apart the first sequence numbers of the connections are, without what
 * time makes of it: a number per 64 ns (RFC 6528 §3 with Linux's clock). It is
 * the same for two kernels with one secret.
 */
function untimed(capture: string): number {
  const [a, b] = PORTS.map((port) => firstSyn(capture, port)!) as [Syn, Syn];
  return (b.sequence - a.sequence -
    (b.microseconds - a.microseconds) * 1000 / 64) | 0;
}

interface Syn {
  microseconds: number;
  sequence: number;
}

/** The first frame of a connection from `port`, if it is in the capture yet. */
function firstSyn(capture: string, port: number): Syn | undefined {
  const bytes = Deno.readFileSync(capture);
  const view = new DataView(bytes.buffer);
  // Seconds, microseconds, bytes kept and sent; Ethernet 14, IP 20.
  for (let at = 24; at + 16 <= bytes.length;) {
    const [seconds, micro, size] = [0, 4, 8].map((o) =>
      view.getUint32(at + o, true)
    );
    const tcp = at + 16 + 34;
    if (
      tcp + 20 <= bytes.length && view.getUint16(at + 28) === 0x0800 &&
      bytes[tcp - 11] === 6 && view.getUint16(tcp) === port
    ) {
      const microseconds = seconds! * 1e6 + micro!;
      return { microseconds, sequence: view.getUint32(tcp + 4) };
    }
    at += 16 + size!;
  }
  return undefined;
}

/** Both its sums and its writes, which are to `disk`, go on. */
async function goesOn(guest: Twin, there: number, disk: string): Promise<void> {
  const writes = async () =>
    Number((await guest.run("n writes")).split(" ")[0]);
  const written = await writes();
  const seen = () => guest.output;
  // A question takes time from what it asks about: the host looks first.
  const changed = () => Deno.statSync(disk).mtime!.getTime();
  const before = changed();
  await until(() => changed() !== before, "a write", seen);
  await until(async () => await writes() > written, "progress, disk", seen);
  await until(async () => await sum(guest) > there, "its sum", seen);
}

for (
  const [name, machineConfig] of [
    ["one CPU, mmio", {}],
    ["two CPUs, pci", { vcpu_count: 2, transport: "pci" }],
  ] as [string, VmConfig["machine-config"]][]
) {
  Deno.test(needing([KVM, LINUX], {
    name: `Linux: saved, forked and reset in the middle of I/O (${name})`,
    async fn(t) {
      using disk = new ScratchFile(16 * MiB);
      using other = new ScratchFile(16 * MiB);
      using frames = new ScratchFile(0);
      const overrides = {
        drives: [{ drive_id: "data", path_on_host: other.path }],
      } as Overrides;
      const announced = {
        ...overrides,
        "network-interfaces": [{ iface_id: "net", pcap: frames.path }],
      } as Overrides;
      await using linux = await LinuxGuest.boot({
        "machine-config": { mem_size_mib: 96, ...machineConfig },
        drives: [{
          drive_id: "data",
          path_on_host: disk.path,
          is_root_device: false,
        }],
        "network-interfaces": [{ iface_id: "net", handler: HOST }],
        entropy: {},
        // With the TSC for a clock, all time since the snapshot comes at once.
      }, "console=ttyS0 clocksource=kvm-clock");
      const { machine } = linux.test;
      await linux.run("cd /run; x=42; echo kept > kept");
      await linux.run("ifconfig eth0 10.0.0.2");
      await linux.run(CONNECT);
      // The kernel chooses its TCP secret.
      await linux.run(
        "connect 3999; until grep -q :0F9F /proc/net/tcp; do :; done",
      );
      await linux.run("dmesg -c >/dev/null; echo new lines >/dev/kmsg");
      for (const line of [NUMBERS, SUMS, "s=$!", WRITES, "w=$!"]) {
        await linux.run(line);
      }
      // So that the shell answers at once beside them.
      await linux.run("renice -n 10 $s $w");

      await t.step("goes on as it was saved, in other machines", async () => {
        const before = await sum(linux);
        using snapshot = await machine.snapshot();
        assert.equal(await linux.run("x=43; echo $x"), "43");
        await machine.pause(); // the others have the host's CPUs
        const secrets: number[] = [];
        for (let i = 0; i < TWINS; i++) {
          await using twin = await Twin.of((options) =>
            Machine.restore(snapshot, announced, options)
          );
          assert.equal(
            await twin.run("echo $x; pwd; read -r k <kept; echo $k"),
            "42\n/run\nkept",
          );
          // An ARP request for its own address (RFC 5227 §3).
          const sent = () => Deno.readFileSync(frames.path).toHex();
          await until(
            () => /08060001.{24}0a000002.{12}0a000002/.test(sent()),
            "an announcement",
            sent,
          );
          const there = await sum(twin);
          assert.ok(there >= before, `${there} after ${before}`);
          await goesOn(twin, there, other.path);
          await twin.run("kill $s $w; wait $s $w");
          await twin.run(":"); // the shell tells of it
          for (const port of PORTS) {
            await twin.run(`connect ${port}`);
            const sent = () => firstSyn(frames.path, port);
            await until(() => sent() !== undefined, `a SYN from ${port}`);
          }
          secrets.push(untimed(frames.path));
          assert.match(await twin.run(RANDOM), /^1\+0 records in/);
          const seen = await twin.run("dmesg");
          assert.match(seen, /new lines/);
          assert.doesNotMatch(seen, /virtio/, "all in order");
        }
        await machine.resume();
        assert.equal(await linux.run("echo $x"), "43", "the first goes on");
        const apart = Math.abs((secrets[1]! - secrets[0]!) | 0);
        assert.ok(apart > JITTER, `${apart}: their TCP secrets are the same`);
      });

      await t.step(`forked ${FORKS} times, its sums are right`, async () => {
        for (let i = 0; i < FORKS; i++) {
          const before = await sum(linux);
          await using child = await Twin.of((options) =>
            machine.fork(overrides, options)
          );
          const there = await sum(child);
          assert.ok(there >= before, `${there} after ${before}`);
          await machine.pause(); // the child has the host's CPUs
          await goesOn(child, there, other.path);
          assert.equal(await child.run("echo $x; x=44"), "43");
          await machine.resume();
        }
      });

      await t.step(`reset ${RESETS} times, its sums are right`, async () => {
        using snapshot = await machine.snapshot({ base: true });
        const outputs: string[] = [];
        for (let i = 0; i < RESETS; i++) {
          const there = await sum(linux);
          outputs.push(await linux.run("echo $x; x=45; pwd; echo *"));
          const seen = () => linux.test.output;
          await until(async () => await sum(linux) > there, "its sum", seen);
          await machine.reset(snapshot);
        }
        assert.deepEqual(outputs, outputs.map(() => outputs[0]));
        assert.equal(await linux.run("echo $x"), "43");
      });
      assert.deepEqual(linux.test.log, []);
    },
  }));
}
