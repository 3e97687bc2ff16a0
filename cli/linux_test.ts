/**
 * The prepared Linux on Vireo: few boots, many assertions each. Needs root
 * for the network.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { KVM, needing, NETWORKS } from "../ffi/testing/needs.ts";
import { prepared } from "../images/linux/prepare.ts";
import { LINUX } from "../images/testing/prepared.ts";
import { boot, MAIN, vireo } from "../vmm/testing/command.ts";
import { command, ScratchFile, TestNetwork } from "../vmm/testing/mod.ts";
import { until } from "../ffi/testing/until.ts";

const RNG = new URL("../examples/rng.ts", import.meta.url).pathname;
const PORT = 8000;

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** An ext4 image of 64 MiB with the files of `contents` in it. */
async function ext4(
  dir: string,
  name: string,
  contents: Record<string, Uint8Array>,
): Promise<string> {
  const source = `${dir}/${name}.d`;
  Deno.mkdirSync(source);
  for (const [file, bytes] of Object.entries(contents)) {
    Deno.writeFileSync(`${source}/${file}`, bytes);
  }
  const image = `${dir}/${name}.ext4`;
  await command("mke2fs", "-q", "-t", "ext4", "-d", source, image, "64M");
  return image;
}

/**
 * The host's side of the network. The guest asks for anything but the page when
 * its own server is there, and is answered when all is done with that.
 */
const SERVER = `
const [dir, hostname, guest] = Deno.args;
Deno.serve({ hostname, port: ${PORT} }, async ({ url }) => {
  if (url.endsWith("/page")) return new Response(await Deno.readFile(dir + "/page"));
  const bytes = await (await fetch("http://" + guest + "/big")).bytes();
  const hash = await crypto.subtle.digest("SHA-256", bytes);
  const args = ["-c", "20", "-i", "0.05", "-w", "600", guest];
  const { stdout } = await new Deno.Command("ping", { args }).output();
  Deno.writeTextFileSync(dir + "/seen", JSON.stringify({
    fetched: new Uint8Array(hash).toHex(),
    ping: new TextDecoder().decode(stdout),
  }));
  return new Response("done");
});`;

const EXT4 = ["mke2fs", "e2fsck", "debugfs"];

Deno.test(needing([KVM, LINUX, NETWORKS, "ping", ...EXT4], {
  name: "Linux: block, network, and --exec's output and status",
  async fn(t) {
    const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    await using stack = new AsyncDisposableStack();
    stack.defer(() => Deno.removeSync(dir, { recursive: true }));
    const network = stack.use(new TestNetwork());
    // Each byte is copied by emulated kernel code, several times.
    const big = randomBytes(512 << 10);
    const page = randomBytes(128 << 10);
    const disk = await ext4(dir, "disk", { big });
    const readOnly = await ext4(dir, "readonly", { big: page });
    const readOnlyBefore = sha256(Deno.readFileSync(readOnly));
    Deno.writeFileSync(`${dir}/page`, page);
    const server = network.spawn(
      ...[Deno.execPath(), "eval", SERVER],
      ...[dir, network.host, network.guest],
    );
    stack.defer(async () => {
      server.kill("SIGKILL");
      await server.status;
    });

    // Few processes: each is a quarter of a second of emulated kernel code.
    const guest = `
      echo one line; printf 'no newline'; printf '\\t"quoted" \\\\ $HOME\\n'
      echo to stderr >&2
      mount -t ext4 /dev/vdb /mnt && mount -t ext4 -o ro /dev/vdc /root
      dd if=/mnt/big of=/mnt/out bs=64k count=4 2>/dev/null
      sync
      dd if=/dev/zero of=/dev/vdc bs=4k count=1
      echo > /root/new && echo WROTE
      read -r serial < /sys/block/vdb/serial; echo $serial
      until wget -q -O /tmp/page http://${network.host}:${PORT}/page; do sleep 0.3; done
      sha256sum /mnt/big /mnt/out /tmp/page
      httpd -p 80 -h /root
      until wget -q -O /dev/null http://${network.host}:${PORT}/done; do sleep 0.3; done
      echo rng; dd if=/dev/hwrng of=/dev/null bs=16 count=1
      read -r release < /proc/sys/kernel/osrelease; echo $release
      read cpus < /sys/devices/system/cpu/online; echo cpus $cpus; exit 7`;
    const { code, stdout, stderr } = await boot([
      ...["--cold", "--entry", "vmlinux"],
      ...["--disk", disk, "--disk", `${readOnly},ro`],
      ...["--net", `tap=tap0,netns=${network.netns}`],
      ...["--cmdline", `ip=${network.guest}:::255.255.255.0::eth0:off`],
      ...["--device", RNG, "--exec", guest],
    ]);
    const all = stdout + stderr;

    await t.step("the exit status is the commands'", () => {
      assert.equal(code, 7, all);
    });
    await t.step("their output is exact, the kernel's log apart", () => {
      const start = 'one line\nno newline\t"quoted" \\ $HOME\nto stderr\n';
      assert.equal(stdout.slice(0, start.length), start);
      assert.match(stderr, /Linux version 6\.1/);
      assert.doesNotMatch(stdout, /Linux version|_vireo:/);
      assert.match(stdout, /^cpus 0$/m);
    });
    await t.step("a vmlinux is entered at its 64-bit entry", () => {
      assert.match(stdout, /-vireo$/m);
      assert.doesNotMatch(stderr, /RAMDISK/, "no initrd was given");
    });
    await t.step("a file of 512 KiB on an ext4 disk reads right", () => {
      assert.ok(stdout.includes(`${sha256(big)}  /mnt/big`), stdout);
    });
    await t.step(
      "what the guest wrote and synced is in the image",
      async () => {
        await command("e2fsck", "-fn", disk);
        await command("debugfs", "-R", `dump /out ${dir}/out`, disk);
        const out = Deno.readFileSync(`${dir}/out`);
        assert.equal(out.length, 256 << 10);
        assert.equal(sha256(out), sha256(big.subarray(0, 256 << 10)));
        assert.ok(stdout.includes(`${sha256(out)}  /mnt/out`), stdout);
      },
    );
    await t.step("a read-only disk refuses writes and stays the same", () => {
      assert.match(stdout, /vdc.*(Operation not permitted|Read-only)/);
      assert.doesNotMatch(stdout, /WROTE/);
      assert.equal(sha256(Deno.readFileSync(readOnly)), readOnlyBefore);
    });
    await t.step("GET_ID is the serial number in sysfs", () => {
      assert.match(stdout, /^vireo-1$/m);
    });
    await t.step(
      "a device from examples/ works without changes to Vireo",
      () => {
        assert.match(stdout, /^rng\n1\+0 records in$/m);
      },
    );
    await t.step("the guest fetches 128 KiB over HTTP", () => {
      assert.ok(stdout.includes(`${sha256(page)}  /tmp/page`), stdout);
    });
    const seen = JSON.parse(Deno.readTextFileSync(`${dir}/seen`));
    await t.step("the host fetches 128 KiB from the guest's httpd", () => {
      assert.equal(seen.fetched, sha256(page));
    });
    await t.step("the host's pings are answered, 20 of them", () => {
      // Several answers may come at once, after the last one that is waited for.
      const [, received] = / (\d+) received/.exec(seen.ping) ?? [];
      assert.ok(Number(received) >= 20, seen.ping);
    });
  },
}));

Deno.test(needing([KVM, LINUX], {
  name: "Linux: reboot ends the machine; the root disk is read-only",
  async fn() {
    const { rootfs } = (await prepared())!;
    const before = sha256(Deno.readFileSync(rootfs));
    const { code, stdout, stderr } = await boot([
      "--quiet",
      "--exec",
      "echo > /x; echo rc $?; read -r root < /proc/mounts; echo $root; reboot -f",
    ]);
    assert.match(stderr, /the guest ended \(reset\) before the commands did/);
    assert.equal(code, 1);
    assert.match(stdout, /rc 1/);
    assert.match(stdout, / \/ ext4 ro/);
    assert.equal(sha256(Deno.readFileSync(rootfs)), before);
  },
}));

Deno.test(needing([KVM, LINUX], {
  name: "Linux: --exec ends when nobody reads its output any more, of SIGPIPE",
  async fn() {
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--quiet", "-A", MAIN, "boot", "--memory", "64M"],
        ...["--quiet", "--exec", "yes"],
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      env: { NO_COLOR: "1" },
    }).spawn();
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    assert.match(new TextDecoder().decode(value), /^y/);
    await reader.cancel();
    const said = new Response(child.stderr).text();
    assert.equal((await child.status).signal, "SIGPIPE", await said);
    assert.equal(await said, "");
  },
}));

Deno.test(needing([KVM, LINUX], {
  name: "Linux: what --exec and init get is not taken for the kernel's words",
  async fn() {
    // As a kernel of one's own, whose init can't be counted on to ask.
    const { code, stdout, stderr } = await boot([
      ...[(await prepared())!.kernel, "--root", "busybox"],
      ...["--quiet", "--cmdline", 'panic=-1 -- one "two root=three'],
      ...[
        "--exec",
        'echo root=$x acpi=off -- four; read -r a < /proc/cmdline; echo "$a"',
      ],
    ]);
    assert.equal(code, 0, stderr);
    const [said, cmdline] = stdout.replaceAll("\r", "").split("\n");
    assert.equal(said, "root= acpi=off -- four");
    assert.match(
      cmdline!,
      / VIREO_EXEC=".*" root=\/dev\/vda ro virtio_mmio\.device=\S+ random\.vm_generation=\S+ -- one "two root=three$/,
    );
  },
}));

Deno.test(needing([KVM, LINUX], {
  name: "Linux: a file in Firecracker's format boots, its root device first",
  async fn(t) {
    using disk = new ScratchFile(1 << 20);
    using file = new ScratchFile(0);
    const { kernel, rootfs } = (await prepared())!;
    // As in Firecracker's documentation, but for paths and size.
    const config = {
      "boot-source": {
        kernel_image_path: kernel,
        boot_args: "console=ttyS0 reboot=k panic=1 pci=off",
        initrd_path: null,
      },
      drives: [
        {
          drive_id: "data",
          path_on_host: disk.path,
          is_root_device: false,
          is_read_only: false,
        },
        {
          drive_id: "rootfs",
          partuuid: null,
          is_root_device: true,
          cache_type: "Unsafe",
          is_read_only: true,
          path_on_host: rootfs,
          io_engine: "Sync",
          rate_limiter: null,
          socket: null,
        },
      ],
      "machine-config": {
        vcpu_count: 1,
        mem_size_mib: 64,
        smt: false,
        track_dirty_pages: false,
        huge_pages: "None",
      },
      "cpu-config": null,
      balloon: null,
      "network-interfaces": [],
      vsock: null,
      logger: null,
      metrics: null,
      "mmds-config": null,
      entropy: null,
      pmem: [],
      "memory-hotplug": null,
    };
    Deno.writeTextFileSync(file.path, JSON.stringify(config));
    // Many times what the serial port's FIFO holds.
    const lines = Array.from({ length: 40 }, (_, i) => `: filler ${i}`);
    const input = [
      "stty -echo; PS1=", // a shell that echoes takes 5 ms for each character
      "cd /sys/block; read -r a < vda/serial; read -r b < vdb/serial; echo $a$b",
      "for disk in vda vdb; do read -r a < $disk/queue/write_cache; echo $a; done",
      ...["uname -a", ...lines, "echo sum $((40 + 2))\n"],
    ].join("\n");
    const { code, stdout } = await vireo(
      ["run", "--cold", "--config", file.path], // its own command line, then
      input,
    );
    const text = stdout.replaceAll("\r", "");
    assert.equal(code, 0, stdout);
    assert.match(text, /rootfsdata\n/);
    assert.match(
      text,
      /Kernel command line: .*pci=off root=\/dev\/vda ro virtio_mmio/,
    );
    assert.match(text, /write through\nwrite back\n/, "Unsafe has no flush");
    await t.step("input from a pipe is typed, and its end powers off", () => {
      assert.match(text, /Linux vireo 6\.1/);
      assert.match(text, /^sum 42$/m);
    });
  },
}));

Deno.test(needing([KVM, LINUX, "tmux"], {
  name: "Linux: a terminal is raw, echoes, and is sane after Ctrl-A x",
  async fn() {
    const socket = Deno.makeTempDirSync({ prefix: "vireo-test-" }) + "/tmux";
    const tmux = (...args: string[]) => command("tmux", "-S", socket, ...args);
    const screen = () => tmux("capture-pane", "-p", "-t", "vireo");
    const shows = async (pattern: RegExp) => {
      let text = "";
      const shown = async () => pattern.test(text = await screen());
      await until(shown, `${pattern}`, () => text);
      return text;
    };
    const size = ["-x", "100", "-y", "30"];
    await tmux("new-session", "-d", "-s", "vireo", ...size, "sh");
    try {
      // As the README has it. Without its `-q`, Deno clears the line of the
      // cursor whenever a module is loaded: the guest's prompt, and for good.
      const run = `${Deno.execPath()} task boot --quiet --memory 64M`;
      await tmux("send-keys", "-t", "vireo", `${run}; echo status=$?`, "Enter");
      await shows(/\/.*# *$/m);
      await tmux("send-keys", "-t", "vireo", "ls -d /proc; stty size", "Enter");
      await shows(/^\/proc$/m);
      await shows(/^30 100$/m);
      await tmux("send-keys", "-t", "vireo", "C-c"); // for the guest
      await tmux("send-keys", "-t", "vireo", "C-a", "x");
      await shows(/status=0/);
      await tmux("send-keys", "-t", "vireo", "stty -a", "Enter");
      const sane = await shows(/icanon[^]* echo [^]*[#$] *$/m);
      assert.match(sane, / echo /);
      assert.doesNotMatch(sane, /-icanon|-isig|-opost/);
    } finally {
      await tmux("kill-server");
    }
  },
}));
