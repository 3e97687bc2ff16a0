/**
 * The prepared Linux with entropy, console and balloon devices: one boot, many
 * assertions.
 */
import assert from "node:assert/strict";
import { prepared } from "../guest/linux/prepare.ts";
import { MiB } from "../guest/layout.ts";
import { canOpenKvm } from "../guest/testing.ts";
import { LinuxGuest, residentBytes, until } from "./linux_testing.ts";

const missing = !canOpenKvm()
  ? " [no /dev/kvm]"
  : await prepared() === undefined
  ? " [no prepared guest: vireo prepare]"
  : "";

/** An unusual size, by which the RAM's mapping is found. */
const MEMORY_MIB = 50;
const HALF_MIB = 25;
/** What the guest touches, to have memory that the host could get back. */
const FILL_MIB = 12;
const TOUCH = `awk 'BEGIN { s = sprintf("%${FILL_MIB * MiB}s", "") }'; echo $?`;

Deno.test({
  name: "Linux: entropy, the virtio console, ports, the balloon" + missing,
  ignore: missing !== "",
  async fn(t) {
    const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    await using stack = new AsyncDisposableStack();
    stack.defer(() => Deno.removeSync(dir, { recursive: true }));
    const socket = `${dir}/agent`;
    const guest = stack.use(
      await LinuxGuest.boot({
        "machine-config": { mem_size_mib: MEMORY_MIB },
        console: { main: true, ports: [{ name: "agent", path: socket }] },
        entropy: {},
        balloon: {
          amount_mib: 0,
          deflate_on_oom: false,
          stats_polling_interval_s: 1,
          free_page_hinting: true,
        },
      }, "console=hvc0"),
    );
    const { machine } = guest.test;

    await t.step(
      "the shell is on hvc0, which is the only console",
      async () => {
        assert.match(
          await guest.run("cat /proc/consoles"),
          /^hvc0 +-W- [^\n]+$/,
        );
      },
    );

    await t.step("output over hvc0 is whole, and costs few exits", async () => {
      await guest.run("seq 1 800 >/run/numbers");
      const numbers = Array.from({ length: 800 }, (_, i) => i + 1);
      const expected = numbers.join("\r\n");
      let before = machine.exits;
      assert.equal(await guest.run("cat /run/numbers"), expected);
      const virtio = machine.exits - before;
      before = machine.exits;
      const shown = await guest.run("cat /run/numbers >/dev/ttyS0; sleep 1");
      assert.equal(shown, expected);
      const serial = machine.exits - before;
      // Two per interrupt; how many writes share one is the host's mood.
      assert.ok(virtio * 4 < serial, `${virtio} exits, ${serial} by serial`);
    });

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

    await t.step("/dev/hwrng gives 64 KiB", async () => {
      const name = "/sys/class/misc/hw_random/rng_current";
      assert.equal(await guest.run(`cat ${name}`), "virtio_rng.0");
      const count = await guest.run("head -c 65536 /dev/hwrng | wc -c");
      assert.equal(count, "65536");
    });

    await t.step("a named port is a socket on the host", async () => {
      const port = await guest.run(
        "grep -l ^agent$ /sys/class/virtio-ports/*/name",
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
        const size = MEMORY_MIB * MiB;
        assert.equal(await guest.run(TOUCH), "0");
        const touched = residentBytes(size);
        assert.ok(touched >= FILL_MIB * MiB);

        await machine.balloon.setTarget(HALF_MIB);
        const inflated = async (mib: number) =>
          (await machine.balloon.stats()).actual_mib === mib;
        await until(() => inflated(HALF_MIB), "inflated balloon");
        const half = residentBytes(size);
        const stats = await machine.balloon.stats();
        assert.equal(stats.discarded_pages, HALF_MIB * MiB / 4096);
        assert.ok(
          half <= touched - FILL_MIB * MiB / 2,
          `${half} of ${touched}`,
        );
        assert.ok(half <= size - HALF_MIB * MiB, `${half}`);

        await machine.balloon.setTarget(0);
        await until(() => inflated(0), "deflated balloon");
        const deflated = residentBytes(size);
        assert.equal(await guest.run(TOUCH), "0");
        const again = residentBytes(size);
        assert.ok(again >= deflated + FILL_MIB * MiB / 2, `${again}`);
        await until(
          async () => ((await machine.balloon.stats()).free_memory ?? 0) > 0,
          "statistics",
        );
        const { free_memory, total_memory } = await machine.balloon.stats();
        assert.ok(free_memory! < total_memory! && total_memory! < size);
      },
    );

    await t.step("free pages are given back when hinted at", async () => {
      const before = residentBytes(MEMORY_MIB * MiB);
      await machine.balloon.startHinting();
      const idle = async () => !(await machine.balloon.stats()).hinting;
      await until(idle, "end of the hints");
      const after = residentBytes(MEMORY_MIB * MiB);
      assert.ok(after < before - 4 * MiB, `${after}, ${before} before`);
      assert.equal(await guest.run("echo alive"), "alive");
    });

    await t.step("nothing went wrong, and the socket is removed", async () => {
      assert.deepEqual(guest.test.log, []);
      await machine.stop();
      assert.throws(() => Deno.statSync(socket), Deno.errors.NotFound);
    });
  },
});
