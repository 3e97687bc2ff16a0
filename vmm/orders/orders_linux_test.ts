/**
 * The prepared Linux asks for its orders, is saved there, and goes on with
 * others: as another machine, at another time, with another clock.
 */
import assert from "node:assert/strict";
import { asking as keptAsking } from "../../cli/testing/asking.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { type KernelVariant, prepared } from "../../images/linux/prepare.ts";
import { FULL_LINUX, LINUX } from "../../images/testing/prepared.ts";
import { resolve } from "../config/resolve.ts";
import type { VmConfig } from "../config/types.ts";
import { Machine } from "../machine.ts";
import type { MachineOptions } from "../machine_options.ts";
import type { Snapshot } from "../snapshot/mod.ts";
import { encodeOrders, Orders } from "./orders.ts";

const NONCE = "mark";
const TSC = 0x10, DEADLINE = 0x6e0;

/** A guest that runs the commands of its orders. */
class Told implements AsyncDisposable {
  readonly orders = new Orders(true);
  machine!: Machine;
  #text = "";
  readonly #decoder = new TextDecoder();

  static async start(
    make: (options: MachineOptions) => Promise<Machine>,
  ): Promise<Told> {
    const told = new Told();
    told.machine = await make({
      orders: told.orders,
      onOutput: (bytes) => {
        told.#text += told.#decoder.decode(bytes, { stream: true });
      },
    });
    told.machine.start();
    return told;
  }

  /** What the commands of `orders` print, and how they end. */
  async obey(orders: Uint8Array): Promise<{ output: string; status: number }> {
    this.orders.give(orders);
    const parts = () => this.#text.split("\x1b\\");
    const begin = "\x1b_vireo:mark:begin", end = "\x1b_vireo:mark:end:";
    // With what comes after it: half a status is one, too.
    await until(
      () => parts().slice(0, -1).some((part) => part.includes(end)),
      "the end",
      () => this.#text,
    );
    const at = parts().findIndex((part) => part.endsWith(begin));
    const [output, status] = parts()[at + 1]!.split(end);
    return { output: output!, status: Number(status) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine.stop();
  }
}

function orders(commands: string): Uint8Array {
  return encodeOrders({ nonce: NONCE, commands, bind: [] });
}

/** Without the random numbers: what differs comes from elsewhere. */
function unseeded(orders: Uint8Array): Uint8Array {
  const SEED = 6;
  const rest: number[] = [];
  for (let at = 0; at < orders.length;) {
    const [type, length] = new Uint16Array(orders.slice(at, at + 4).buffer);
    const end = at + 4 * Math.ceil((4 + length!) / 4);
    if (type !== SEED) rest.push(...orders.subarray(at, end));
    at = end;
  }
  return Uint8Array.from(rest);
}

async function guest(
  variant: KernelVariant,
  machine: VmConfig["machine-config"] = {},
): Promise<VmConfig> {
  const { kernel, rootfs } = (await prepared(variant))!;
  return {
    "boot-source": {
      kernel_image_path: kernel,
      boot_args: "console=ttyS0 quiet panic=-1 clocksource=kvm-clock",
    },
    "machine-config": { mem_size_mib: 64, ...machine },
    drives: [{
      drive_id: "root",
      path_on_host: rootfs,
      is_root_device: true,
      is_read_only: true,
    }],
  };
}

/** The machine when its init asks. */
async function asking(config: VmConfig): Promise<Snapshot> {
  const resolved = resolve(config);
  return await keptAsking(resolved, async () => {
    await using told = await Told.start((options) =>
      Machine.fromResolved(resolved, options)
    );
    await told.orders.asked;
    return await told.machine.snapshot();
  });
}

async function restored(
  snapshot: Snapshot,
  options: MachineOptions = {},
): Promise<Told> {
  return await Told.start((mine) =>
    Machine.restore(snapshot, {}, { ...mine, ...options })
  );
}

/** A quick way to a guest's answer. */
async function answer(
  snapshot: Snapshot,
  bytes: Uint8Array,
  options?: MachineOptions,
): Promise<string> {
  await using told = await restored(snapshot, options);
  const { output, status } = await told.obey(bytes);
  assert.equal(status, 0, output);
  return output.trim();
}

const RANDOM = "xxd -p -l 16 /dev/urandom; " +
  "read -r uuid </proc/sys/kernel/random/uuid; echo $uuid";

Deno.test(needing([KVM, LINUX], {
  name: "orders: Linux is saved as it asks, and goes on as it is told then",
  async fn(t) {
    using snapshot = await asking(await guest("small"));
    const run = async (commands: string) => {
      await using told = await restored(snapshot);
      return await told.obey(orders(commands));
    };

    await t.step("commands are a shell's, byte for byte", async () => {
      const { output, status } = await run(
        `echo "$0 $HOME $PWD"; printf 'a\\tb "%s"\\n' "it's"; nope; exit 7`,
      );
      assert.deepEqual({ output, status }, {
        output: 'sh /root /run/root\na\tb "it\'s"\nsh: nope: not found\n',
        status: 7,
      });
    });
    await t.step("they may be long", async () => {
      const text = "0123456789".repeat(6000);
      const { output, status } = await run(`: ${text}; x=${text}; echo \${#x}`)
        .catch(() => ({ output: "", status: -1 }));
      assert.equal(status, -1, "more than 64 KiB are refused");
      assert.equal(output, "");
      const long = await run(`x=${text}; echo \${#x} $0; exit 3`);
      assert.deepEqual(long, { output: "60000 sh\n", status: 3 });
    });
    await t.step("ps shows nothing of how they came", async () => {
      const { output } = await run(
        "all=$(ps); case $all in *sh' '-l*) echo 1;; *PID*) echo 0; esac",
      );
      assert.equal(output, "0\n");
    });

    const same = unseeded(orders(RANDOM)); // with the same time, too
    await t.step("two of one are not alike: random numbers", async () => {
      const answers = [
        await answer(snapshot, same),
        await answer(snapshot, same),
      ].map((text) => text.split("\n"));
      assert.match(answers[0]![0]!, /^[0-9a-f]{32}$/);
      assert.match(answers[0]![1]!, /^[0-9a-f-]{36}$/);
      for (const i of [0, 1]) {
        assert.notEqual(answers[0]![i], answers[1]![i], `${answers}`);
      }
    });
    await t.step("the wall clock is the host's", async () => {
      const before = Math.floor(Date.now() / 1000);
      const seconds = Number(await answer(snapshot, orders("date +%s")));
      const after = Date.now() / 1000;
      const said = `${seconds} s, between ${before} and ${after}`;
      assert.ok(seconds >= before && seconds <= after, said);
    });
    await t.step("uptime goes on where it was, unless asked", async () => {
      const uptime = "read -r s rest </proc/uptime; echo ${s%.*}";
      const [still, caughtUp] = [
        Number(await answer(snapshot, orders(uptime))),
        Number(await answer(snapshot, orders(uptime), { clock: "catch-up" })),
      ];
      assert.ok(caughtUp > still, `${still} s, and ${caughtUp} s`);
    });
    await t.step("a pause is no time, either", async () => {
      await using told = await restored(snapshot);
      const begun = performance.now();
      const ended = told.obey(orders(
        "up() { read -r s </proc/uptime; echo $s; }; " +
          "up; sleep 0.3; sleep 0.3; up",
      ));
      await new Promise((resolve) => setTimeout(resolve, 200));
      await told.machine.pause();
      const paused = performance.now();
      await new Promise((resolve) => setTimeout(resolve, 3000));
      const away = performance.now() - paused;
      await told.machine.resume();
      const [from, to] = (await ended).output.split("\n").map(parseFloat);
      const ran = (performance.now() - begun - away) / 1000;
      assert.ok(to! - from! < ran + 0.1, `${from} to ${to}, in ${ran} s`);
    });
    await t.step("on a host whose TSC is less, it goes on", async () => {
      const AHEAD = 1n << 50n; // 5 days at 2.3 GHz
      const moved = structuredClone(snapshot.state);
      for (const { msrs } of moved.vcpus) {
        for (const msr of msrs) {
          if (msr[0] === TSC || msr[0] === DEADLINE && msr[1] !== 0n) {
            msr[1] += AHEAD;
          }
        }
      }
      const other = { state: moved, memory: snapshot.memory } as Snapshot;
      const slept = await answer(other, orders("sleep 0.2; echo slept"));
      assert.equal(slept, "slept");
    });
  },
}));

Deno.test(needing([KVM, FULL_LINUX], {
  name: "orders: Linux with ACPI notices by VMGENID that it is another",
  async fn() {
    using snapshot = await asking(await guest("full", { vcpu_count: 2 }));
    const same = unseeded(orders(
      `${RANDOM}; until case $log in *'virtual machine fork'*) ;; *) false; esac; ` +
        'do log=$(dmesg); done; echo "crng${log##*crng}"',
    ));
    const answers = [
      await answer(snapshot, same),
      await answer(snapshot, same),
    ].map((text) => text.split("\n"));
    for (const i of [0, 1]) {
      assert.notEqual(answers[0]![i], answers[1]![i], `${answers}`);
    }
    assert.match(answers[0]![2]!, /crng reseeded due to virtual machine fork/);
  },
}));
