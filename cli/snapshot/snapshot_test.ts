/** Snapshots from the command line, with the payload as their guest. */
import assert from "node:assert/strict";
import { keep } from "../../ffi/testing/keep.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { MiB } from "../../guest/layout.ts";
import { payloadPath } from "../../images/payload/payload.ts";
import { MAIN, vireo } from "../../vmm/testing/command.ts";
import { Running } from "../../vmm/testing/running.ts";
import { TICKS } from "../../vmm/testing/tiny_guest.ts";
import { plain } from "../text.ts";
import { foldEvents } from "./event_words.ts";
import { ScratchFile } from "../../vmm/testing/mod.ts";

/** What a command has printed, each stream for itself. */
interface Printed {
  stdout: string;
  stderr: string;
}

/** Runs a command until it has printed this. */
async function upTo(
  enough: (printed: Printed) => boolean,
  args: string[],
): Promise<Printed> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", MAIN, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const printed: Printed = { stdout: "", stderr: "" };
  const all = (["stdout", "stderr"] as const).map((name) =>
    keep(child[name], (text) => printed[name] += text)
  );
  let over = false;
  child.status.then(() => over = true);
  const seen = () => `${printed.stdout}${printed.stderr}`;
  await until(() => enough(printed) || over, `${enough}`, seen);
  if (!over) child.kill("SIGTERM");
  await Promise.all(all);
  await child.status;
  return printed;
}

Deno.test(needing([KVM], {
  name:
    "vireo: saved when its console shows a text, a machine is inspected, verified, and goes on",
  async fn() {
    using disk = new ScratchFile(MiB);
    const root = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    using _root = {
      [Symbol.dispose]: () => Deno.removeSync(root, { recursive: true }),
    };
    const folder = `${root}/saved`;
    const saved = await upTo(
      ({ stdout, stderr }) =>
        /^journal: 9\n/m.test(stdout) && stderr.includes("saved in"),
      [
        ...["boot", payloadPath.pathname, "--memory", "16M"],
        ...["--cmdline", "journal", "--disk", disk.path],
        ...["--snapshot-on", "text", "journal: 5\n", folder],
      ],
    );
    assert.ok(
      saved.stderr.includes(
        `vireo: saved in ${folder}; it goes on with: vireo restore ${folder}\n`,
      ),
      saved.stderr,
    );

    const inspected = await vireo(["snapshot", "inspect", folder]);
    assert.equal(inspected.code, 0, inspected.stderr);
    assert.match(inspected.stdout, /^memory +16\.0 MiB, \d\.\d MiB on disk$/m);
    assert.match(inspected.stdout, /^vCPU 0 +runs, rip 0x[0-9a-f]+/m);
    assert.match(inspected.stdout, /^device 0 +1 of 1 queues live$/m);
    const whole = await vireo(["snapshot", "verify", folder]);
    assert.deepEqual([whole.code, whole.stdout], [0, `${folder}: whole\n`]);

    const line = /^journal: (\d+)\n/m;
    const { stdout } = await upTo(
      ({ stdout }) => line.test(stdout),
      ["restore", folder],
    );
    const [, first] = line.exec(stdout) ?? [];
    assert.ok(Number(first) > 5, `goes on where it was: ${stdout}`);

    const other = await vireo(["restore", folder, "--disk", "nosuch=x"]);
    assert.deepEqual(
      [other.code, other.stderr],
      [1, "vireo: drives: the snapshot has no nosuch\n"],
    );
    for (
      const [words, message] of [
        [["snapshot", "verfy", folder], /did you mean "verify"/],
        [["restore", `${root}/none`], /snapshot ".*none": there is none/],
        [["restore", folder, "--disk", "x"], /not of the form ID=FILE/],
        [["restore", folder, "--pages", "/x"], /not of the form socket=PATH/],
        [
          ["restore", folder, "--pages", "sockt=x"],
          /did you mean "socket=PATH"/,
        ],
        [["restore", folder, "--pages", "socket=/none"], /no handler listens/],
        [["restore", folder, "--pages", "module=/none.ts"], /none\.ts/],
        [["run", "--config", "x", "--snapshot-on", "text", "y"], /of the form/],
        [["boot", "--snapshot-on", "signal"], /signal: not of the form/],
        [
          ["boot", "--snapshot-on"],
          /option '--snapshot-on .*' argument missing/,
        ],
        [["boot", "--snapshot-on", "signal", "--quiet"], /not of the form/],
        [["boot", "--snapshot-on=sigal", "y"], /did you mean "signal"/],
        [["boot", "--snapshot-on", "text", "", "y"], /not of the form/],
      ] as [string[], RegExp][]
    ) {
      const { code, stderr } = await vireo(words);
      assert.match(stderr, message);
      assert.equal(code, 1);
      assert.equal(stderr.split("\n").length, 2, stderr);
    }
  },
}));

Deno.test("--snapshot-on: the words behind it are its value, and no others", () => {
  const folded = (line: string) => foldEvents(line.split(" "));
  assert.deepEqual(folded("boot --snapshot-on signal s kernel"), [
    ...["boot", "--snapshot-on=signal\0s", "kernel"],
  ]);
  assert.deepEqual(
    folded("run --snapshot-on text w s --snapshot-on=signal t"),
    [
      ...["run", "--snapshot-on=text\0w\0s", "--snapshot-on=signal\0t"],
    ],
  );
  assert.deepEqual(folded("boot --snapshot-on"), ["boot", "--snapshot-on"]);
  assert.deepEqual(folded("boot --snapshot-on text"), [
    ...["boot", "--snapshot-on=text"],
  ]);
  assert.deepEqual(folded("ps --snapshot-once x"), [
    "ps",
    "--snapshot-once",
    "x",
  ]);
});

Deno.test(needing([KVM], {
  name: "--snapshot-on signal: each SIGUSR2 saves the machine, which goes on",
  async fn() {
    const folder = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    const saved = `${folder}/saved`;
    await using running = new Running({
      kernel: TICKS,
      args: ["--snapshot-on", "signal", saved],
    }, folder);
    await running.until(() => running.stdout.length > 0, "output");
    running.child.kill("SIGUSR2");
    await running.says(/^vireo: saved in /);
    const { ino } = Deno.statSync(`${saved}/state.json`);
    running.child.kill("SIGUSR2");
    const says = () =>
      running.lines.filter((line) => line.startsWith("vireo: saved in "))
        .length;
    await running.until(() => says() === 2, "the second time");
    assert.notEqual(Deno.statSync(`${saved}/state.json`).ino, ino);
    const whole = await vireo(["snapshot", "verify", saved]);
    assert.equal(whole.code, 0, whole.stderr);
    const before = running.stdout.length;
    await running.until(() => running.stdout.length > before, "more output");
    await running.endBy("SIGTERM");
  },
}));

Deno.test(needing([KVM], {
  name: "vireo snapshot: ls, diff, rm and --sync; restore --trust and --config",
  async fn() {
    using root = new ScratchFolder();
    using disk = new ScratchFile(MiB);
    const name = `test-${Deno.pid}`;
    await using running = new Running({
      kernel: TICKS,
      args: ["--name", name, "--disk", disk.path],
    });
    await until(
      async () => {
        const { stdout } = await vireo(["ps"]);
        return stdout.includes(` ${name} `) || !running.alive;
      },
      name,
      () => running.lines,
    );
    const [a, b] = [`${root.path}/a`, `${root.path}/b`];
    const does = async (...args: string[]) => {
      const { code, stdout, stderr } = await vireo(["snapshot", ...args]);
      assert.deepEqual([code, stderr], [0, ""]);
      return stdout;
    };
    await does("create", name, a, "--sync");
    await does("create", name, b);
    const [since, merged] = [`${root.path}/since`, `${root.path}/merged`];
    await does("create", name, since, "--since", a);
    await running.endBy("SIGTERM");
    assert.match(await does("inspect", since), /^a diff of +[0-9a-f]{64}$/m);
    const early = await vireo(["restore", since]);
    assert.match(early.stderr, /is a diff of another one: merge it/);
    await does("merge", a, since, merged);
    await does("verify", merged);
    const other = await vireo(["snapshot", "merge", b, since]);
    assert.match(other.stderr, /is a diff of another snapshot than/);
    assert.deepEqual([early.code, other.code], [1, 1]);
    assert.equal(await does("diff", a, a), "");
    assert.match(await does("diff", a, b), /^saved: .* -> .*$/m);
    const inspected = await does("inspect", a);
    assert.match(inspected, /^by +Vireo \d+\.\d+\.\d+ on .*, Linux \d/m);
    assert.match(inspected, /^ {2}rax +0x[0-9a-f]+ +rbx/m);
    assert.match(inspected, /^ {2}kind +disk$/m);
    assert.match(inspected, /^ {2}drives\[0\]\.path_on_host +"/m);

    // Elsewhere it needs a word.
    const moved = `${root.path}/moved`;
    await new Deno.Command("cp", { args: ["-r", b, moved] }).output();
    const refused = await vireo(["restore", moved]);
    assert.match(refused.stderr, /to be given, .*: drives .*: path_on_host\n$/);
    const config = `${root.path}/config.json`;
    Deno.writeTextFileSync(config, '{\n  "drives": [}\n');
    const bad = await vireo(["restore", moved, "--config", config]);
    assert.equal(bad.code, 1);
    assert.match(bad.stderr, /^vireo: .*config\.json:2:14: [^\n]*\n$/);

    await using restored = new Running({
      kernel: TICKS,
      words: ["restore", moved, "--trust", "--name", name],
    });
    await restored.until(() => restored.stdout.length > 0, "output");
    const inUse = new RegExp(`^${moved} .* ${restored.child.pid}`, "m");
    assert.match(await does("ls", root.path), inUse);
    assert.match(await does("ls", a), new RegExp(`^${a} .* -$`, "m"));
    const { code, stderr } = await vireo(["snapshot", "rm", moved]);
    assert.match(stderr, new RegExp(`is in use by ${restored.child.pid}\n$`));
    assert.equal(code, 1);
    await restored.endBy("SIGTERM");
    await does("rm", moved);
    assert.doesNotMatch(await does("ls", root.path), /moved/);
  },
}));

class ScratchFolder implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "vireo-test-" });

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

Deno.test("vireo snapshot, ps: what is shown has nothing that a terminal acts on", () => {
  const escapes = "a\x1b]0;title\x07\x9b2J\r\tb\nc";
  assert.equal(plain(escapes), "a?]0;title??2J??b\nc");
});
