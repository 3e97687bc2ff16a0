/** A module for the research kernel: loaded, and looked into by gdb. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { RESEARCH_LINUX } from "../../images/testing/prepared.ts";
import { prepared } from "../../mod.ts";
import { create, GAUGE, give } from "./module.ts";

Deno.test(needing([KVM, RESEARCH_LINUX, "make", "gcc"], {
  name:
    "research kernel: a module is built, loaded, drives its device, and goes",
  async fn() {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", import.meta.resolve("./module.ts")],
    }).output();
    const said = new TextDecoder().decode(stdout);
    assert.equal(code, 0, said + new TextDecoder().decode(stderr));
    assert.match(said, /gauge VREO0001:00: 3 channels\n.*\ngauge +16384 +0 /);
    assert.match(said, /\n21\n1013\n40\nunloaded\n[^]*$/);
    assert.doesNotMatch(said.split("unloaded")[1]!, /gauge/);
  },
}));

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** gdb's words about a machine. */
async function gdb(
  target: string,
  folder: string,
  commands: readonly string[],
  files: readonly string[],
): Promise<string> {
  const { stdout, stderr } = await new Deno.Command("gdb", {
    args: [
      ...["-nx", "-q", "-batch", "-cd", folder],
      ...["set pagination off", `target remote ${target}`, ...commands]
        .flatMap((command) => ["-ex", command]),
      ...files,
    ],
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return text(stdout) + text(stderr);
}

Deno.test(needing([KVM, RESEARCH_LINUX, "make", "gcc", "gdb"], {
  name:
    "gdb itself: source lines at start_kernel, in a module, and in the program that asked it",
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      await using machine = await create(folder);
      const [path, ready] = [`${folder}/gdb`, `${folder}/ready`];
      const { kernel } = (await prepared("research"))!;
      const { target } = await machine.gdb({ address: { path } });
      await machine.pause();
      machine.start();
      const first = await gdb(target, folder, [
        ...["hbreak start_kernel", "continue", "backtrace", "delete"],
        ...["hbreak setup_arch", "continue", "finish", "detach"],
      ], [kernel]);
      assert.match(
        first,
        /^Breakpoint 1, start_kernel \(\) at \S+\/init\/main\.c:\d+$/m,
      );
      assert.match(first, /^#\d .*secondary_startup_64.*head_64\.S:\d+$/m);
      assert.match(
        first,
        /^Breakpoint 2, setup_arch \(.* at \S+\/setup\.c:\d+$/m,
      );
      assert.match(first, /^(0x\w+ in )?start_kernel \(\) at \S+\/main\.c/m);

      await give(machine, folder);
      const loaded = await machine.exec(`
        mount -t debugfs none /sys/kernel/debug
        insmod /tmp/gauge.ko && cd /sys/bus/platform/drivers/gauge &&
        echo ${GAUGE.hid}:00 >unbind; cat /sys/module/gauge/sections/.text`);
      const text = loaded.text().trim();
      assert.match(text, /^0x[0-9a-f]{16}$/, loaded.errorText());
      const said = gdb(target, folder, [
        `add-symbol-file gauge.ko ${text}`,
        "add-symbol-file kcov",
        "hbreak read_channel",
        `shell touch ${ready}`, // the machine is paused until it goes on
        ...["continue", "backtrace", "next", "next", "print index"],
        ...["print *channel", "finish", "delete"],
        ...["hbreak say_number", "continue", "backtrace", "step", "step"],
        ...["info locals", "finish", "delete", "detach"],
      ], [kernel]);
      const isReady = () => machine.state === "running" && exists(ready);
      await until(isReady, "gdb waits");
      const { stdout } = await machine.exec(
        `cd /sys/bus/platform/drivers/gauge; /tmp/kcov bind ${GAUGE.hid}:00`,
      );
      const words = await said;
      for (
        const pattern of [
          /^Breakpoint 1, read_channel \(.*index=.*0\) at \S+\/gauge\.c:\d+$/m,
          /^#1 .* gauge_probe \(.*\) at \S+\/gauge\.c:\d+$/m,
          /^#\d+ .* ksys_write \(.* at \S+\/read_write\.c:\d+$/m,
          /^\d+\twritel\(index, gauge->registers \+ GAUGE_CHANNEL\);$/m,
          /^\$1 = 0$/m,
          /^Value returned is \$3 = 0$/m,
          /^Breakpoint 2, say_number \(n=\d+\) at \S+\/kcov\.c:\d+$/m,
          /^#1 .*start \(stack=.*\) at \S+\/kcov\.c:\d+$/m,
          /^first = 0x\w+ "\d"$/m,
          /^\d+\tsay\(" places\\n"\);$/m,
        ]
      ) assert.match(words.replaceAll(/^(\d+)\t\s+/gm, "$1\t"), pattern);
      // The program and its kernel have not noticed.
      assert.match(new TextDecoder().decode(stdout), /^\d+ places$/m);
      const values = await machine.exec(
        "cat /sys/bus/platform/drivers/gauge/*/values",
      );
      assert.equal(values.text(), "21\n1013\n40\n");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
}));
