/**
 * A boot from the cache against one from the beginning: with every option, and
 * with other things on the host the second time. Needs root for the network.
 */
import assert from "node:assert/strict";
import { basename } from "node:path";
import { exists } from "../../ffi/file.ts";
import { KVM, needing, NETWORKS } from "../../ffi/testing/needs.ts";
import { Pty } from "../../ffi/testing/pty.ts";
import { prepared } from "../../images/linux/prepare.ts";
import { FULL_LINUX, LINUX } from "../../images/testing/prepared.ts";
import {
  MAIN,
  startVireo,
  vireo,
  type VireoResult,
} from "../../vmm/testing/command.ts";
import { TestNetwork } from "../../vmm/testing/mod.ts";
import { listEntries } from "./cache.ts";

const RNG = new URL("../../examples/rng.ts", import.meta.url).pathname;

/** A cache of its own, with links to what is prepared. */
class Cache implements Disposable {
  readonly dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  readonly env = { XDG_CACHE_HOME: this.dir };

  static async make(variant: "small" | "full" = "small"): Promise<Cache> {
    const cache = new Cache();
    Deno.mkdirSync(`${cache.dir}/vireo`);
    const { kernel, rootfs } = (await prepared(variant))!;
    for (const path of [kernel, rootfs]) {
      Deno.symlinkSync(path, `${cache.dir}/vireo/${basename(path)}`);
    }
    return cache;
  }

  get instant(): string {
    return `${this.dir}/vireo/instant`;
  }

  /** The only machine in it. */
  get entry(): string {
    const [one, ...others] = listEntries(this.instant);
    assert.deepEqual(others, []);
    return one!.folder;
  }

  /** All that is in it. */
  get names(): string[] {
    if (!exists(this.instant)) return [];
    return [...Deno.readDirSync(this.instant)].map(({ name }) => name);
  }

  boot(args: string[], input?: string): Promise<VireoResult> {
    return vireo(["boot", "--memory", "64M", ...args], input, this.env);
  }

  /** A boot that is not over yet. */
  start(args: string[]): Deno.ChildProcess {
    return startVireo(["boot", "--memory", "64M", ...args], this.env);
  }

  /** Boots twice: nothing is kept yet, and then it is. */
  async twice(
    args: (turn: number) => string[],
    input?: string,
  ): Promise<[VireoResult, VireoResult]> {
    const cold = await this.boot(args(0), input);
    assert.ok(this.entry, `nothing is kept: ${cold.stderr}`);
    const { memory } = this;
    const instant = await this.boot(args(1), input);
    assert.equal(this.memory, memory, "kept again");
    return [cold, instant];
  }

  /** Its file of memory; another when it is kept again. */
  get memory(): string | undefined {
    return [...Deno.readDirSync(this.entry)].map(({ name }) => name)
      .find((name) => name.startsWith("memory-"));
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.dir, { recursive: true });
  }
}

Deno.test(needing([KVM, LINUX], {
  name: "instant boot: --exec, and what can become of the cache",
  async fn(t) {
    using cache = await Cache.make();
    const args = ["--quiet", "--exec", "echo $((6 * 7)); echo no >&2; exit 9"];
    const right = { code: 9, stdout: "42\nno\n", stderr: "" };

    await t.step("SIGINT in the middle leaves nothing half-made", async () => {
      for (const milliseconds of [300, 1500, 4000]) {
        const running = cache.start(["--quiet", "--exec", "sleep 100"]);
        setTimeout(() => running.kill("SIGINT"), milliseconds);
        const { signal, code, stderr } = await running.output();
        assert.equal(new TextDecoder().decode(stderr), "");
        assert.ok(signal === "SIGINT" || code === 130, `${signal} ${code}`);
        const { names } = cache;
        assert.ok(!names.some((name) => name.startsWith("new-")), `${names}`);
      }
    });
    await t.step("first boots at once, of which one is kept", async () => {
      if (exists(cache.instant)) { // the last may have come so far
        Deno.removeSync(cache.instant, { recursive: true });
      }
      const boot = () => cache.boot(args);
      const all = await Promise.all([boot(), boot(), boot()]);
      assert.deepEqual(all, [right, right, right]);
      assert.ok(cache.entry);
      assert.equal(cache.names.length, 1);
    });
    await t.step("and the next goes on from there", async () => {
      const { memory } = cache;
      assert.deepEqual(await cache.boot(args), right);
      assert.equal(cache.memory, memory, "kept again");
    });
    await t.step("--cold boots from the beginning", async () => {
      const { code, stderr } = await cache.boot(["--cold", "--exec", "true"]);
      assert.equal(code, 0);
      assert.match(stderr, /Linux version 6\.1/);
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
    await t.step("damaged: from the beginning, in one line", async () => {
      const state = `${cache.entry}/state.json`;
      Deno.truncateSync(state, 1000);
      const { code, stdout, stderr } = await cache.boot(args);
      assert.equal(code, 9);
      assert.equal(stdout, right.stdout);
      assert.match(stderr, /^vireo: from the beginning: .*is not JSON\n$/);
      assert.deepEqual(await cache.boot(args), right, "and it is mended");
    });
    await t.step("not only the caller's: from the beginning", async () => {
      Deno.chmodSync(cache.instant, 0o755);
      const { code, stderr } = await cache.boot(args);
      assert.equal(code, 9);
      assert.match(
        stderr,
        /^vireo: from the beginning: .* is not only yours \(mode 0700\)\n$/,
      );
      Deno.chmodSync(cache.instant, 0o700);
    });
    await t.step("a user's mistake is told as always", async () => {
      const wrong = ["--disk", `${cache.dir}/none`, "--exec", "true"];
      const { code, stderr } = await cache.boot(wrong);
      assert.equal(code, 1);
      assert.match(stderr, /^vireo: disk ".*none": no such file\n$/);
    });
    await t.step("removed while in use: the machine goes on", async () => {
      const exec = "echo begun; sleep 1; ls /bin | tail -n 1; echo done";
      const running = cache.start(["--quiet", "--exec", exec]);
      const away = `${cache.dir}/away`;
      await new Promise((resolve) => setTimeout(resolve, 300));
      Deno.renameSync(cache.entry, away);
      Deno.removeSync(away, { recursive: true });
      const { code, stdout } = await running.output();
      assert.equal(code, 0);
      assert.match(new TextDecoder().decode(stdout), /^begun\n.*\ndone\n$/s);
    });
  },
}));

Deno.test(needing([KVM, LINUX, NETWORKS, "ping", "mke2fs", "e2fsck"], {
  name: "instant boot: disks, network, vsock, balloon, own device, memory",
  async fn() {
    using cache = await Cache.make();
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
      `mount /dev/vdb /mnt && echo ${turn} > /mnt/turn && ls -1 /mnt
       blockdev --getsize64 /dev/vdb; blockdev --getsize64 /dev/vdc
       dd if=/dev/zero of=/dev/vdc bs=512 count=1 2>/dev/null || echo read-only
       cat /sys/class/net/eth0/address
       ip addr show eth0 | grep -o 'inet [0-9.]*/[0-9]*'
       ping -c 1 ${networks[turn]!.host} > /dev/null && echo pong
       head -c 4 /dev/hwrng; echo
       grep MemTotal /proc/meminfo; nproc; cat /proc/mounts | wc -l
       ls /sys/bus/virtio/devices | wc -l`,
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
    using cache = await Cache.make("full");
    const disk = `${cache.dir}/disk`;
    Deno.writeTextFileSync(disk, "a disk\n");
    Deno.truncateSync(disk, 1 << 20);
    const [cold, instant] = await cache.twice((turn) => [
      ...["--quiet", "--cpus", "2", "--transport", "pci", "--rng"],
      ...["--console", "virtio", "--port", `p=${cache.dir}/port${turn}`],
      ...["--disk", `${disk},ro`, "--exec"],
      "nproc; head -n 1 /dev/vdb; ls /dev/hvc0 /dev/virtio-ports /dev/vport*; " +
      "head -c 9 /dev/hwrng | wc -c; ls /sys/bus/pci/devices | wc -l; " +
      "printf '\\0\\1\\r\\n'; exit 3",
    ]);
    assert.equal(cold.code, 3, cold.stderr + cold.stdout);
    assert.match(cold.stdout, /^2\na disk\n/);
    assert.deepEqual(instant, cold);
  },
}));

Deno.test(needing([KVM, LINUX], {
  name: "instant boot: an interactive shell, on a pipe and on a terminal",
  async fn(t) {
    using cache = await Cache.make();
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

Deno.test(needing([KVM, LINUX], {
  name: "instant boot: a kernel of one's own with --instant, as it was",
  async fn() {
    using cache = await Cache.make();
    const disk = `${cache.dir}/disk`;
    Deno.writeTextFileSync(disk, "a disk\n");
    Deno.truncateSync(disk, 1 << 20);
    const kernel = `${cache.dir}/vmlinux`;
    Deno.copyFileSync((await prepared())!.kernel, kernel);
    const args = [
      ...[kernel, "--root", "busybox", "--instant", "--quiet"],
      ...["--disk", `${disk},ro`, "--exec", "head -n 1 /dev/vdb; exit 5"],
    ];
    const [cold, instant] = await cache.twice(() => args);
    assert.deepEqual(cold, { code: 5, stdout: "a disk\n", stderr: "" });
    assert.deepEqual(instant, cold);
    Deno.writeTextFileSync(disk, "another\n");
    Deno.truncateSync(disk, 1 << 20);
    const changed = await cache.boot(args);
    assert.deepEqual(changed, { code: 5, stdout: "another\n", stderr: "" });
    const own = await cache.boot(["--root", disk, "--instant"]);
    assert.match(
      own.stderr,
      /^vireo: --instant: needs the prepared root image/,
    );
  },
}));

Deno.test(needing([KVM, LINUX], {
  name: "instant boot: saved at the rendezvous, it is told what to do later",
  async fn() {
    using cache = await Cache.make();
    const [saved, disk] = [`${cache.dir}/saved`, `${cache.dir}/disk`];
    Deno.writeTextFileSync(disk, "a disk\n");
    Deno.truncateSync(disk, 1 << 20);
    const { code, stdout, stderr } = await cache.boot([
      ...["--quiet", "--disk", `${disk},ro`],
      ...["--snapshot-on", "rendezvous", saved, "--exec", "echo first; exit 1"],
    ]);
    assert.equal(stdout, "first\n", stderr);
    assert.equal(code, 1);
    assert.match(stderr, /^vireo: saved in .*saved; it goes on with: /);
    for (const turn of [2, 3]) {
      const commands = `echo ${turn}; head -n 1 /dev/vdb; exit ${turn}`;
      const args = ["restore", saved, "--quiet", "--exec", commands];
      const result = await vireo(args, undefined, cache.env);
      const stdout = `${turn}\na disk\n`;
      assert.deepEqual(result, { code: turn, stdout, stderr: "" });
    }
    const wrong = ["--root", "none", "--snapshot-on", "rendezvous", saved];
    const other = await cache.boot(wrong);
    assert.match(
      other.stderr,
      /^vireo: --snapshot-on rendezvous .*: only the /,
    );
  },
}));

Deno.test(needing([KVM, LINUX], {
  name: "instant boot: a file's machine, unless it is none of ours",
  async fn() {
    using cache = await Cache.make();
    const { kernel, rootfs } = (await prepared())!;
    const root = {
      drive_id: "root",
      path_on_host: rootfs,
      is_root_device: true,
      is_read_only: true,
    };
    const disk = `${cache.dir}/disk`;
    Deno.writeTextFileSync(disk, "a disk\n");
    Deno.truncateSync(disk, 1 << 20);
    const data = {
      ...{ drive_id: "data", path_on_host: disk },
      ...{ is_root_device: false, is_read_only: true },
    };
    const run = (boot_args: string, ...words: string[]) => {
      const file = `${cache.dir}/vm.json`;
      const config = {
        "boot-source": { kernel_image_path: kernel, boot_args },
        "machine-config": { vcpu_count: 1, mem_size_mib: 64 },
        drives: [data, root],
      };
      Deno.writeTextFileSync(file, JSON.stringify(config));
      const args = ["run", "--config", file, ...words];
      const input = "echo $((40 + 2)); head -n 1 /dev/vdb; nproc; tty\nexit\n";
      return vireo(args, input, cache.env);
    };
    const shown = ({ stdout }: VireoResult) =>
      stdout.slice(stdout.indexOf("/ #"));
    const first = await run("console=ttyS0 quiet");
    assert.match(
      first.stdout,
      /^42\r?\na disk\r?\n1\r?\n\/dev\/\w+\r?$/m,
      first.stderr,
    );
    const { memory } = cache;
    for (const words of [[], ["--instant"]]) {
      const result = await run("console=ttyS0 quiet", ...words);
      assert.equal(shown(result), shown(first), result.stderr);
      assert.equal(result.code, 0);
      assert.equal(cache.memory, memory, "kept again");
    }
    for (const own of ["VIREO_EXEC=true", "console=ttyS1", "init=/bin/sh"]) {
      const { code, stderr } = await run(`console=ttyS0 ${own}`, "--instant");
      assert.equal(code, 1);
      assert.match(stderr, /^vireo: --instant: only with the kernel and .*\n$/);
    }
  },
}));
