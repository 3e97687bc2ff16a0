/** The command line: what users get wrong, and what they get for it. */
import assert from "node:assert/strict";
import { KVM, needing, NETWORKS, optional, root } from "./ffi/testing/needs.ts";
import { denoAsNobody } from "./ffi/testing/nobody.ts";
import { payloadPath } from "./images/payload/payload.ts";
import { buildElf, buildElf32 } from "./guest/testing/mod.ts";
import { buildBzImage } from "./guest/testing/bzimage.ts";
import { command, TestNetwork } from "./vmm/testing/mod.ts";

const MAIN = new URL("./main.ts", import.meta.url).pathname;
const PAYLOAD = payloadPath.pathname;

interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

async function deno(...args: string[]): Promise<Result> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    stdin: "null",
    env: { NO_COLOR: "1" },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

const vireo = (...args: string[]) =>
  deno("run", "--quiet", "-A", MAIN, ...args);

/** Exit status 1, nothing on stdout, one line on stderr that matches. */
async function refuses(message: RegExp, ...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await vireo(...args);
  assert.match(stderr, message);
  assert.match(stderr, /^vireo: [^\n]+\n$/, "one line");
  assert.equal(code, 1);
  assert.equal(stdout, "");
}

async function inScratch(fn: (dir: string) => Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  try {
    await fn(dir);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

Deno.test(needing([KVM], {
  name: "vireo boot: each kernel that can't be booted gets its own line",
  fn: () =>
    inScratch(async (dir) => {
      const file = (name: string, bytes: Uint8Array) => {
        Deno.writeFileSync(`${dir}/${name}`, bytes);
        return `${dir}/${name}`;
      };
      const elf = buildElf();
      const code = { address: 0x100_0000n, bytes: new Uint8Array(16) };
      await refuses(/kernel ".*": is a directory/, "boot", dir);
      const empty = file("empty", new Uint8Array());
      await refuses(/is empty/, "boot", empty);
      const noise = file("noise", new Uint8Array(5000).fill(7));
      await refuses(/is no kernel: Vireo boots vmlinux/, "boot", noise);
      const short = file("short", elf.slice(0, elf.length - 8));
      await refuses(/is truncated/, "boot", short);
      const narrow = file("narrow", buildElf32({ segments: [code] }));
      await refuses(/is a 32-bit kernel/, "boot", narrow);
      const realMode = buildBzImage({ fields: { 0x206: [2, 0x203n] } });
      const memdisk = file("memdisk", realMode);
      await refuses(/boot protocol 2.03, .*real-mode/, "boot", memdisk);
      await refuses(/not one of vmlinux,/, "boot", PAYLOAD, "--entry", "efi");
      await refuses(/no bzImage/, "boot", PAYLOAD, "--entry", "bzimage");
      await refuses(/ENOENT/, "boot", `${dir}/missing`);
      await refuses(/open initrd/, "boot", PAYLOAD, "--initrd", `${dir}/none`);
    }),
}));

Deno.test("vireo inspect: text for people, JSON for programs, one line for errors", async () => {
  const text = await vireo("inspect", PAYLOAD);
  assert.equal(text.code, 0, text.stderr);
  assert.match(text.stdout, /^format +vmlinux, \d+ bytes$/m);
  assert.match(text.stdout, /^boots +at its 64-bit entry \(vmlinux\)$/m);
  const json = await vireo("inspect", "--json", PAYLOAD);
  assert.equal(JSON.parse(json.stdout).entry, "vmlinux");
  await refuses(/is no kernel/, "inspect", MAIN);
  await refuses(/ENOENT/, "inspect", "/nowhere/vmlinuz");
});

Deno.test(needing([KVM], {
  name: "vireo boot: each disk that can't be used gets its own line",
  fn: () =>
    inScratch(async (dir) => {
      const disk = (text: string) => ["boot", PAYLOAD, "--disk", text];
      await refuses(
        /disk ".*missing": no such file/,
        ...disk(`${dir}/missing`),
      );
      await refuses(/is a directory/, ...disk(dir));
      Deno.writeFileSync(`${dir}/odd`, new Uint8Array(1000));
      await refuses(
        /1000 bytes, is not a multiple of 512/,
        ...disk(`${dir}/odd`),
      );
      assert.equal(Deno.statSync(`${dir}/odd`).size, 1000);
      Deno.writeFileSync(`${dir}/empty`, new Uint8Array());
      await refuses(/is empty/, ...disk(`${dir}/empty`));
      await refuses(/Not a directory/, ...disk(`${dir}/odd/under`));
      await refuses(/unknown word "rw"/, ...disk(`${dir}/odd,rw`));
      await command("mkfifo", `${dir}/fifo`);
      await refuses(/is not a file or block device/, ...disk(`${dir}/fifo`));
    }),
}));

Deno.test(needing([root("becomes another user"), "setpriv"], {
  name: "vireo boot: a disk that this user can't read gets its own line",
  fn: () =>
    inScratch(async (dir) => {
      Deno.writeFileSync(`${dir}/secret`, new Uint8Array(512), { mode: 0o600 });
      Deno.chmodSync(dir, 0o755);
      const open = "./devices/backends/block/open_image.ts";
      const module = new URL(open, import.meta.url);
      const { code, stderr } = await denoAsNobody(
        `const { openRawImage } = await import("${module}");` +
          `try { openRawImage({ path: "${dir}/secret" }) } catch (e) {` +
          "console.error(e.message) }",
        dir,
      );
      const text = new TextDecoder().decode(stderr);
      assert.match(text, /open disk ".*secret": EACCES/, `${code}`);
    }),
}));

Deno.test(needing([KVM], {
  name: "vireo boot: memory and CPUs out of range get one line",
  async fn() {
    const memory = (text: string) => ["boot", PAYLOAD, "--memory", text];
    await refuses(/memory: 0 MiB is not within/, ...memory("0"));
    await refuses(/memory: 1 MiB is not within/, ...memory("1M"));
    await refuses(/memory: 1048576 MiB is not within/, ...memory("1T"));
    await refuses(/not a size/, ...memory("lots"));
    await refuses(/cpus: 0 is not 1 to 32/, "boot", PAYLOAD, "--cpus", "0");
    await refuses(/not a whole number/, "boot", PAYLOAD, "--cpus", "two");
    await refuses(
      /--acpi yes: not one of auto, on, off/,
      "boot",
      PAYLOAD,
      "--acpi",
      "yes",
    );
  },
}));

Deno.test("vireo: unknown commands and options get one line", async () => {
  await refuses(/unknown option '--bad'/, "boot", "--bad");
  await refuses(/unknown command 'bot' \(Did you mean boot\?\)/, "bot");
  await refuses(/argument missing/, "boot", "--disk");
});

Deno.test("vireo run: what is wrong with a file gets a line that names it", () =>
  inScratch(async (dir) => {
    await refuses(/--config.*not specified/, "run");
    await refuses(
      /configuration ".*none.json": no such file/,
      ...["run", "--config", `${dir}/none.json`],
    );
    const file = async (text: string, message: RegExp) => {
      Deno.writeTextFileSync(`${dir}/vm.json`, text);
      await refuses(message, "run", "--config", `${dir}/vm.json`);
    };
    await file('{"a": 1,}', /vm\.json:1:9: no comma is allowed before "}"/);
    await file("[]", /vm\.json: a list is not an object/);
    const source = `"boot-source": {"kernel_image_path": "${PAYLOAD}"}`;
    await file(`{${source}, "drivs": []}`, /drivs: .*did you mean "drives"\?/);
    await file(
      `{${source}, "machine-config": {"vcpu_count": 33}}`,
      /machine-config\.vcpu_count: 33 is not 1 to 32/,
    );
  }));

Deno.test(needing([KVM], {
  name: "vireo run: the payload, as a file describes it",
  fn: () =>
    inScratch(async (dir) => {
      const boot = { kernel_image_path: PAYLOAD, boot_args: "hello" };
      const config = { "boot-source": boot, "machine-config": {} };
      Deno.writeTextFileSync(`${dir}/vm.json`, JSON.stringify(config));
      const { code, stdout, stderr } = await vireo(
        ...["run", "--config", `${dir}/vm.json`],
      );
      assert.match(stdout, /^payload: hello/);
      // A host that emulates kernel code is told of in one line.
      assert.match(stderr, /^(vireo: this host emulates [^\n]+\n)?$/);
      assert.equal(code, 0);
    }),
}));

Deno.test(needing([KVM, NETWORKS], {
  name: "vireo boot: each TAP that can't be used gets its own line",
  async fn() {
    using network = new TestNetwork();
    const { netns } = network;
    const net = (text: string) => ["boot", PAYLOAD, "--net", text];
    await refuses(
      /can't be an interface's name/,
      ...net("tap=much-too-long-for-one"),
    );
    await refuses(
      /namespace "\/run\/netns\/none": ENOENT/,
      ...net("tap=t,netns=none"),
    );
    await refuses(/"foo=1" is not one of/, ...net("foo=1"));
    await refuses(
      /not a unicast address/,
      ...net("tap=t,mac=01:00:00:00:00:00"),
    );
    await refuses(
      /TAP "t": ENODEV .*ip tuntap add/,
      ...net(`tap=t,netns=${netns}`),
    );
    await refuses(/exists and isn't a TAP/, ...net(`tap=lo,netns=${netns}`));

    const { openTap } = await import("./ffi/tap.ts");
    const { closeFd } = await import("./ffi/file.ts");
    const tap = openTap({ name: "tap0", netns, headerSize: 12 });
    await refuses(
      /TAP "tap0": EBUSY.*another program/,
      ...net(`tap=tap0,netns=${netns}`),
    );
    closeFd(tap.fd);
  },
}));

Deno.test(needing([KVM], {
  name: "vireo probe: a table for people, JSON for programs",
  async fn() {
    const table = await vireo("probe");
    assert.equal(table.code, 0, table.stderr);
    assert.match(table.stdout, /^ {2}ok +API version +12$/m);
    assert.match(
      table.stdout,
      /kernel code \(CPL0\) +[\d.]+ [MG] instructions/,
    );
    assert.match(table.stdout, /^What that means\n {2}- /m);
    const json = await vireo("probe", "--json");
    assert.equal(json.code, 0);
    const report = JSON.parse(json.stdout);
    assert.equal(report.runs, true);
    assert.equal(report.kvm.apiVersion, 12);
    assert.equal(typeof report.guest.speed.emulatesKernel, "boolean");
  },
}));

Deno.test(needing([KVM], {
  name: "vireo boot: each --vsock that can't be had gets its own line",
  fn: () =>
    inScratch(async (dir) => {
      const vsock = (text: string) => ["boot", PAYLOAD, "--vsock", text];
      await refuses(/not of the form cid=3,uds=PATH/, ...vsock("3"));
      await refuses(/cid 2 is not 3 to/, ...vsock(`cid=2,uds=${dir}/a`));
      assert.throws(() => Deno.statSync(`${dir}/a`), Deno.errors.NotFound);
      await refuses(/ENOENT/, ...vsock(`cid=3,uds=${dir}/none/a`));
      Deno.writeTextFileSync(`${dir}/there`, "mine");
      await refuses(
        /vsock ".*there": exists already; remove it/,
        ...vsock(`cid=3,uds=${dir}/there`),
      );
      assert.equal(Deno.readTextFileSync(`${dir}/there`), "mine");
    }),
}));

Deno.test("vireo boot: without permissions, it names the flag", async () => {
  const { code, stderr } = await deno("run", MAIN, "boot", PAYLOAD);
  assert.match(stderr, /^vireo: Requires read access[^\n]*deno run -A"\n$/);
  assert.equal(code, 1);
});

Deno.test("vireo boot: without /dev/kvm, it says what is needed", async () => {
  const { Kvm } = await import("./ffi/kvm/kvm.ts");
  assert.throws(
    () => new Kvm("/dev/there-is-no-kvm"),
    /open \/dev\/there-is-no-kvm: ENOENT .*load kvm_intel or kvm_amd/,
  );
  assert.throws(() => new Kvm("/dev/null"), /not KVM/);
});

/** The kinds' options are in their old places, whatever the table's order. */
const OPTIONS_OF_BOOT =
  "variant kconfig entry distro initrd cmdline memory hugepages " +
  "memory-file cpus root disk net pcap vsock device bus-device transport " +
  "acpi console port rng balloon agent exec cold instant timeout name " +
  "no-control metrics trace monitor public snapshot-on gdb crash-dir " +
  "poll-us quiet verbose";

Deno.test("vireo --help: every command's help is complete", async () => {
  const all = await vireo("--help");
  assert.equal(all.code, 0);
  for (const name of ["boot", "run", "probe", "demo", "prepare"]) {
    assert.match(all.stdout, new RegExp(`^  ${name} `, "m"));
    const help = await vireo(name, "--help");
    assert.equal(help.code, 0);
    assert.match(help.stdout, new RegExp(`Usage: vireo ${name}`));
  }
  const boot = await vireo("boot", "--help");
  for (
    const option of "initrd cmdline memory cpus root disk net exec quiet".split(
      " ",
    )
  ) {
    assert.match(boot.stdout, new RegExp(`--${option} `));
  }
  const order = boot.stdout.matchAll(/^ {2}--([\w-]+)/gm).map(([, name]) =>
    name
  );
  assert.deepEqual([...order].join(" "), OPTIONS_OF_BOOT);
});

Deno.test(needing([KVM, optional(NETWORKS)], {
  name: "vireo demo: verifies block and network, and ends with 0",
  async fn(t) {
    const { code, stdout } = await vireo("demo");
    assert.match(stdout, /^payload: ok/m);
    assert.match(stdout, /^demo: ok/m);
    assert.equal(code, 0);
    await t.step(needing([NETWORKS], {
      name: "the host answers pings",
      fn: () => void assert.match(stdout, /20\/20 replies/),
    }));
  },
}));

Deno.test(needing([KVM], {
  name: "vireo boot: SIGTERM ends the machine with status 143",
  async fn() {
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        MAIN,
        "boot",
        PAYLOAD,
        "--cmdline",
        "bench=pio-read seconds=60",
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reader = child.stdout.getReader();
    await reader.read(); // the guest runs
    child.kill("SIGTERM");
    while (!(await reader.read()).done);
    await child.stdin.close();
    assert.equal((await child.status).code, 143);
  },
}));

Deno.test(needing([KVM], {
  name:
    "vireo: what the host doesn't give gets one line, before anything starts",
  fn: () =>
    inScratch(async (dir) => {
      const deno = `"${Deno.execPath()}" run --quiet -A ${MAIN}`;
      const refused = async (script: string, line: RegExp) => {
        const { code, stdout, stderr } = await new Deno.Command("sh", {
          args: ["-c", `vireo() { ${deno} "$@"; }; ${script}`],
          env: { NO_COLOR: "1" },
          stdin: "null",
        }).output();
        const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
        const said = text(stderr);
        assert.match(said, line, script);
        assert.match(said, /^vireo: [^\n]+\n$/, script);
        assert.deepEqual([code, text(stdout)], [1, ""], script);
      };
      const hello = `vireo boot ${PAYLOAD} --cmdline hello`;
      await refused(
        `TMPDIR=${dir}/none vireo demo`,
        /takes no temporary files \(ENOENT\); set TMPDIR/,
      );
      await refused(
        `TMPDIR=${dir}/none ${hello} --net passt`,
        /takes no temporary files/,
      );
      await refused(
        `ulimit -n 30; ${hello}`,
        /^vireo: 30 descriptors are allowed, which is too few for a machine; raise the limit: ulimit -n 64$/m,
      );
      await refused(
        `ulimit -n 80; ${hello} --cpus 8`,
        /80 descriptors are allowed, .* 8 vCPUs and the devices; raise .* 128$/m,
      );
      Deno.writeTextFileSync(`${dir}/none.ts`, "export const a = 1;");
      await refused(
        `${hello} --net handler=${dir}/none.ts`,
        /network handler file:.*none.ts: its default export is no function/,
      );
      Deno.writeTextFileSync(
        `${dir}/id0.ts`,
        "export default class { deviceId = 0 }",
      );
      await refused(
        `${hello} --device ${dir}/id0.ts`,
        /device file:.*id0.ts: deviceId 0 is not 1 to/,
      );
      await refused(`${hello} --device ${dir}/missing.ts`, /no such file/);
    }),
}));
