/** Snapshots from the command line, with the payload as their guest. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { MiB } from "../../guest/layout.ts";
import { payloadPath } from "../../images/payload/payload.ts";
import { MAIN, vireo } from "../../vmm/testing/command.ts";
import { ScratchFile } from "../../vmm/testing/mod.ts";

/** Runs a command until what it prints, all together, has `pattern`. */
async function upTo(pattern: RegExp, args: string[]): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", MAIN, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let printed = "";
  const keep = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
    const text = stream.pipeThrough(new TextDecoderStream());
    for await (const chunk of text) printed += chunk;
  };
  const all = [keep(child.stdout), keep(child.stderr)];
  let over = false;
  child.status.then(() => over = true);
  await until(() => pattern.test(printed) || over, `${pattern}`, () => printed);
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
      /^journal: 9$[^]*saved in|saved in[^]*^journal: 9$/m,
      [
        ...["boot", payloadPath.pathname, "--memory", "16M"],
        ...["--cmdline", "journal", "--disk", disk.path],
        ...["--snapshot", folder, "--snapshot-on", "journal: 5\n"],
      ],
    );
    assert.ok(
      saved.includes(
        `vireo: saved in ${folder}; it goes on with: vireo restore ${folder}\n`,
      ),
      saved,
    );

    const inspected = await vireo(["snapshot", "inspect", folder]);
    assert.equal(inspected.code, 0, inspected.stderr);
    assert.match(inspected.stdout, /^memory +16\.0 MiB, \d\.\d MiB on disk$/m);
    assert.match(inspected.stdout, /^vCPU 0 +runs, rip 0x[0-9a-f]+/m);
    assert.match(inspected.stdout, /^device 0 +1 of 1 queues live$/m);
    const whole = await vireo(["snapshot", "verify", folder]);
    assert.deepEqual([whole.code, whole.stdout], [0, `${folder}: whole\n`]);

    const restored = await upTo(/^journal: \d+$/m, ["restore", folder]);
    const [, first] = /^journal: (\d+)$/m.exec(restored) ?? [];
    assert.ok(Number(first) > 5, `goes on where it was: ${restored}`);

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
        [["run", "--config", "x", "--snapshot", "y"], /belong together/],
      ] as [string[], RegExp][]
    ) {
      const { code, stderr } = await vireo(words);
      assert.match(stderr, message);
      assert.equal(code, 1);
      assert.equal(stderr.split("\n").length, 2, stderr);
    }
  },
}));
