/**
 * The prepared Linux with every device, over both transports: one boot each,
 * many assertions.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import {
  KVM,
  missingOf,
  needing,
  NETWORKS,
  optional,
} from "../../ffi/testing/needs.ts";
import { MiB } from "../../guest/layout.ts";
import { preparedAll } from "../../images/linux/prepare.ts";
import { ALL_KERNELS, LINUX } from "../../images/testing/prepared.ts";
import { LinuxGuest } from "../../cli/testing/linux.ts";
import { TestNetwork } from "../testing/mod.ts";
import { makeResident, ramOf, residentBytes } from "../testing/ram.ts";
import { assertRebinds } from "../../cli/testing/rebind.ts";
import { until } from "../../ffi/testing/until.ts";
import { connect, echoed } from "../testing/vsock.ts";

/** An unusual size, by which the RAM's mapping is found. */
const MEMORY_MIB = 40;
const SIZE = MEMORY_MIB * MiB;
const HALF_MIB = 20;
/**
 * What a program touches: more than is free beside the inflated balloon, so
 * that it must get memory that was in it.
 */
const FILL_MIB = 7;
/** More than Linux has room for in a socket of vsock, 256 KiB. */
const DATA_SIZE = 320 * 1024;
/** What the host may add where it uses large pages: a few of them. */
const LARGE_PAGES = 6 * MiB;
/** What the guest's kernel hints at: free blocks of the largest order. */
const BLOCK = 4 * MiB;
/** An array of so many words is filled in user mode. */
const TOUCH = `shuf -n 1 -i 1-${FILL_MIB * MiB / 8} >&-; echo $?`;

/** Free blocks of each zone, by their order. */
const BUDDIES = 'while read -r x; do echo "$x"; done </proc/buddyinfo';

for (const transport of ["mmio", "pci"] as const) {
  const kernels = transport === "pci" ? ALL_KERNELS : LINUX;
  Deno.test(needing([KVM, kernels, optional(NETWORKS)], {
    name: `Linux: the family of devices over ${transport}`,
    async fn(t) {
      const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
      await using stack = new AsyncDisposableStack();
      stack.defer(() => Deno.removeSync(dir, { recursive: true }));
      const socket = `${dir}/agent`;
      const vsock = `${dir}/vsock`;
      const disk = `${dir}/disk`;
      const data = randomBytes(DATA_SIZE);
      const sum = createHash("sha256").update(data).digest("hex");
      Deno.writeFileSync(disk, data);
      const network = missingOf([NETWORKS]) === ""
        ? stack.use(new TestNetwork())
        : undefined;
      const kernel = transport === "pci"
        ? (await preparedAll())!.bzImages.lz4
        : undefined;
      const guest = stack.use(
        await LinuxGuest.boot(
          {
            "machine-config": { mem_size_mib: MEMORY_MIB, transport },
            drives: [{
              drive_id: "data",
              path_on_host: disk,
              is_root_device: false,
            }],
            "network-interfaces": network === undefined ? [] : [
              { iface_id: "net", host_dev_name: "tap0", netns: network.netns },
            ],
            vsock: { guest_cid: 3, uds_path: vsock },
            console: { main: true, ports: [{ name: "agent", path: socket }] },
            entropy: {},
            balloon: {
              amount_mib: 0,
              deflate_on_oom: false,
              stats_polling_interval_s: 1,
              free_page_hinting: true,
            },
          },
          "console=hvc0",
          { kernel },
        ),
      );
      const { machine } = guest.test;
      const ram = ramOf(SIZE);

      await t.step("the kernel boots to its shell, also from LZ4", async () => {
        const variant = kernel === undefined ? /-vireo$/ : /-vireo-full$/;
        assert.match(await guest.run("uname -r"), variant);
      });

      await t.step("each device has its driver, and interrupts", async () => {
        const path = "/sys/bus/virtio/drivers/*/virtio*";
        const drivers = (await guest.run(`echo ${path}`)).match(
          /virtio_[a-z_]+(?=\/)|vmw[a-z_]+/g,
        );
        const expected = ["balloon", "blk", "blk", "console", "rng"];
        if (network) expected.push("net");
        assert.deepEqual(
          drivers?.toSorted(),
          [
            ...expected.map((name) => `virtio_${name}`),
            "vmw_vsock_virtio_transport",
          ].toSorted(),
        );
        const vectors = await guest.run("grep -c PCI-MSI /proc/interrupts");
        assert.equal(Number(vectors) > 6, transport === "pci", vectors);
      });

      await t.step(
        "the shell is on hvc0, which is the only console",
        async () => {
          assert.match(
            await guest.run('read -r x </proc/consoles; echo "$x"'),
            /^hvc0 +-W- [^\n]+$/,
          );
        },
      );

      await t.step(
        "output over hvc0 is whole, and costs few exits",
        async () => {
          await guest.run("numbers=$(seq 1 300)");
          const numbers = Array.from({ length: 300 }, (_, i) => i + 1);
          const expected = numbers.join("\r\n");
          let before = machine.exits;
          assert.equal(await guest.run('echo "$numbers"'), expected);
          const virtio = machine.exits - before;
          before = machine.exits;
          const from = guest.test.output.length;
          // The two consoles' outputs come by ways of their own: a mark on the
          // other one could fall between a number and its line's end.
          guest.type('echo "$numbers" >/dev/ttyS0\n');
          const shown = () => guest.test.output.slice(from).trim();
          await until(() => shown() === expected, "numbers by serial", shown);
          const serial = machine.exits - before;
          // Two per interrupt; how many writes share one is the host's mood.
          assert.ok(
            virtio * 4 < serial,
            `${virtio} exits, ${serial} by serial`,
          );
        },
      );

      await t.step("input over hvc0 arrives whole", async () => {
        const lines = Array.from(
          { length: 100 },
          (_, i) => `${i} ${"x".repeat(40)}`,
        );
        const text = lines.join("\n") + "\n";
        const sum = new Uint8Array(
          await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)),
        ).toHex();
        const answer = guest.run(`head -n ${lines.length} | sha256sum`);
        guest.type(text);
        assert.equal((await answer).split(" ")[0], sum);
      });

      await t.step("the terminal's size follows", async () => {
        await machine.resize(101, 37);
        assert.equal(await guest.run("stty size"), "37 101");
      });

      await t.step("/dev/hwrng gives 4 KiB", async () => {
        const name = "/sys/class/misc/hw_random/rng_current";
        assert.equal(
          await guest.run(`read x <${name}; echo $x`),
          "virtio_rng.0",
        );
        assert.match(
          await guest.run(
            "dd if=/dev/hwrng of=/dev/null bs=4096 count=1 iflag=fullblock 2>&1",
          ),
          /^1\+0 records in/,
        );
      });

      await t.step(
        "vsock: 320 KiB come back as they were, whoever connects",
        async () => {
          await guest.run("(vsock listen 52 cat &)");
          const back = await echoed(await connect(vsock, 52), data);
          assert.equal(createHash("sha256").update(back).digest("hex"), sum);
          using listener = Deno.listen({
            transport: "unix",
            path: `${vsock}_53`,
          });
          const echoing = listener.accept()
            .then(({ readable, writable }) => readable.pipeTo(writable));
          const answer = await guest.run(
            "vsock connect 53 </dev/vdb | sha256sum",
          );
          assert.equal(answer.split(" ")[0], sum);
          await echoing;
        },
      );

      await t.step("discard leaves a hole, and the disk grows", async () => {
        await guest.run("blkdiscard /dev/vdb");
        assert.equal(Deno.statSync(disk).blocks, 0);
        Deno.truncateSync(disk, 2 * MiB);
        assert.equal(await machine.resizeDrive("data"), 2 * MiB);
        const size = () => guest.run("read x </sys/block/vdb/size; echo $x");
        await until(async () => await size() === "4096", "new size");
      });

      await t.step(needing([NETWORKS], {
        name: "the host answers pings",
        async fn() {
          const { host, guest: address } = network!;
          await guest.run(`ifconfig eth0 ${address} netmask 255.255.255.0 up`);
          const answer = await guest.run(`ping -q -A -c 3 -W 30 ${host}`);
          assert.match(answer, /3 packets received/);
        },
      }));

      await t.step(needing([NETWORKS], {
        name: "drivers are unbound and bound during I/O",
        fn: () => assertRebinds(guest, network!, disk),
      }));

      await t.step("a named port is a socket on the host", async () => {
        const port = await guest.run(
          "for port in /sys/class/virtio-ports/*/name; do read x <$port; " +
            "[ $x = agent ] && echo $port; done",
        );
        const device = `/dev/${port.split("/").at(-2)}`;
        const answer = guest.run(
          `exec 3<>${device}; read a <&3; echo "got $a" >&3; exec 3>&-; echo $a`,
        );
        using client = await Deno.connect({ transport: "unix", path: socket });
        await client.write(new TextEncoder().encode("a word\n"));
        const room = new Uint8Array(100);
        const count = await client.read(room);
        const text = new TextDecoder().decode(room.subarray(0, count!));
        assert.equal(text, "got a word\n");
        assert.equal(await answer, "a word");
      });

      await t.step(
        "the balloon gives memory back to the host, and takes it again",
        async () => {
          makeResident(ram);
          assert.equal(residentBytes(ram), SIZE);

          await machine.balloon.setTarget(HALF_MIB);
          const inflated = async (mib: number) =>
            (await machine.balloon.stats()).actual_mib === mib;
          await until(() => inflated(HALF_MIB), "inflated balloon");
          const half = residentBytes(ram);
          const stats = await machine.balloon.stats();
          assert.equal(stats.discarded_pages, HALF_MIB * MiB / 4096);
          assert.ok(half <= SIZE - HALF_MIB * MiB + LARGE_PAGES, `${half}`);

          await machine.balloon.setTarget(0);
          await until(() => inflated(0), "deflated balloon");
          assert.equal(await guest.run(TOUCH), "0");
          const again = residentBytes(ram);
          assert.ok(again > half + MiB, `${again}, ${half} before`);
          await until(
            async () => ((await machine.balloon.stats()).free_memory ?? 0) > 0,
            "statistics",
          );
          const { free_memory, total_memory } = await machine.balloon.stats();
          assert.ok(free_memory! < total_memory! && total_memory! < SIZE);
        },
      );

      await t.step("free pages are given back when hinted at", async () => {
        // Which free pages a program gets is the kernel's business: it takes
        // them from broken blocks first, which it gives no hint at. So the
        // host has all of RAM resident before it asks.
        makeResident(ram);
        const blocks = await freeBlocks(guest);
        assert.ok(blocks > 0, "the guest has a free block");
        const before = residentBytes(ram);
        await machine.balloon.startHinting();
        const idle = async () => !(await machine.balloon.stats()).hinting;
        await until(idle, "end of the hints");
        const after = residentBytes(ram);
        assert.ok(
          after <= before - blocks * BLOCK + BLOCK / 2,
          `${after}, ${before} before, ${blocks} blocks`,
        );
        assert.equal(await guest.run("echo alive"), "alive");
      });

      await t.step(
        "nothing went wrong, and the socket is removed",
        async () => {
          assert.deepEqual(guest.test.log, []);
          await machine.stop();
          assert.throws(() => Deno.statSync(socket), Deno.errors.NotFound);
        },
      );
    },
  }));
}

/** How many free blocks of the largest order the guest's kernel has. */
async function freeBlocks(guest: LinuxGuest): Promise<number> {
  const zones = (await guest.run(BUDDIES)).trim().split("\n");
  return zones.reduce((sum, zone) => sum + Number(zone.split(/\s+/).at(-1)), 0);
}
