/** The research tasks of docs/lab.md: each program is run. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { Pty } from "../../ffi/testing/pty.ts";
import { readPayload } from "../../images/payload/payload.ts";
import type { OwnContext } from "../../mod.ts";
import { TestMachine } from "../../vmm/testing/mod.ts";
import Bucket from "./bucket.ts";

const example = (name: string) => import.meta.resolve(`./${name}`);

/** What a program prints. */
async function run(name: string, ...words: string[]): Promise<string> {
  const args = ["run", "-A", "--no-check", example(name), ...words];
  const env = { NO_COLOR: "1" };
  const { code, stdout, stderr } = await new Deno.Command(
    Deno.execPath(),
    { args, env },
  ).output();
  const said = new TextDecoder().decode(stdout);
  assert.equal(code, 0, said + new TextDecoder().decode(stderr));
  return said;
}

Deno.test(needing([KVM], {
  name: "lab: a VMM of one's own counts a guest's accesses to what isn't there",
  async fn() {
    assert.match(
      await run("mmio.ts"),
      /^\{ reads: 10, writes: 10 \} then HLT before 0x100d$/m,
    );
  },
}));

Deno.test(needing([KVM], {
  name:
    "lab: a panel of LEDs has a line for each change; on a terminal it is drawn again",
  async fn() {
    const rows = [0, 1, 2].map((lit) =>
      [7, 6, 5, 4, 3, 2, 1, 0].map((led) => led === lit ? "●" : "○").join(" ")
    );
    assert.equal(await run("panel.ts", "3"), `${rows.join("\n")}\n`);
    using pty = new Pty();
    const command = `exec "$0" run -A --no-check "$1" 3 >${pty.path}`;
    const child = new Deno.Command("sh", {
      args: ["-c", command, Deno.execPath(), example("panel.ts")],
      env: { NO_COLOR: "" },
      stdin: "null",
      stderr: "piped",
    }).spawn();
    const colored = rows.map((row) => row.replace("●", "\x1b[91m●\x1b[0m"));
    await pty.shows(`│ ${colored[2]} │`);
    const { code, stderr } = await child.output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    const edge = "─".repeat(17);
    const pictures = colored.map((row) =>
      `╭${edge}╮\r\n│ ${row} │\r\n╰${edge}╯\r\n`
    );
    await pty.shows(pictures.join("\x1b[3A"));
  },
}));

Deno.test(needing([KVM], {
  name: "lab: a trace of exits and requests, as CSV and as a histogram",
  async fn() {
    const file = Deno.makeTempFileSync({ prefix: "vireo-test-" });
    const said = await run("trace.ts", file);
    const rows = Deno.readTextFileSync(file).trimEnd().split("\n");
    Deno.removeSync(file);
    assert.equal(rows[0], "ns,what,of,duration_ns");
    const requests = rows.filter((row) =>
      /,(read|write),sector \d+,/.test(row)
    );
    assert.ok(requests.length > 5, `${requests.length} requests`);
    assert.ok(rows.some((row) => /^\d+,io,serial LSR,\d+$/.test(row)));
    const bars = said.match(/^up to \d+ us #+$/gm)!;
    const counted = bars.join("").replaceAll(/[^#]/g, "").length;
    const all = rows.filter((row) => /sector/.test(row)).length;
    assert.equal(counted, all, said);
  },
}));

Deno.test(needing([KVM], {
  name: "lab: an arm goes to the next request, or to the nearest",
  async fn() {
    const said = await run("scheduling.ts", "200");
    const waits = said.match(/^(fifo|nearest)( \d+){4}$/gm)!;
    assert.equal(waits?.length, 2, said);
    for (const line of waits) {
      const [count, median, , longest] = line.split(" ").slice(1).map(Number);
      assert.ok(count! >= 32 && median! > 0 && longest! >= median!, line);
    }
  },
}));

Deno.test("lab: disks of one bucket are served by their weights", async () => {
  const setTimer = (ms: number, go: () => void) => void setTimeout(go, ms);
  const served: string[] = [];
  const all = Object.entries({ heavy: 3, light: 1 }).map(([name, weight]) => {
    const disk = new Bucket({ weight, rate: 10_000 });
    disk.open({ setTimer } as unknown as OwnContext);
    const readers = Array.from(
      { length: 12 },
      () => disk.read().then(() => served.push(name)),
    );
    return Promise.all(readers);
  });
  await Promise.all(all);
  const first = served.slice(0, 12).filter((name) => name === "heavy");
  assert.equal(first.length, 9, served.join(" "));
});

Deno.test(needing([KVM], {
  name: "lab: a bucket lets a guest's requests wait",
  async fn() {
    await using test = await TestMachine.create({
      "boot-source": {
        kernel_image_path: await readPayload(),
        boot_args: "bench=blk-randread qd=8 ms=100 wait=irq",
      },
      "machine-config": { mem_size_mib: 16 },
      drives: [{
        ...{ drive_id: "d", is_root_device: false },
        backend: example("bucket.ts"),
        backend_options: { weight: 1, rate: 1000 },
      }],
    });
    const { output, log } = await test.run();
    const [, rate] = / ops_per_s=(\d+)/.exec(output) ?? [];
    assert.ok(Number(rate) > 0 && Number(rate) <= 1100, output);
    assert.deepEqual(log, []);
  },
}));

Deno.test(needing([KVM], {
  name: "lab: many machines at once, each with its disk",
  async fn() {
    const said = (await run("many.ts", "2")).trimEnd().split("\n");
    assert.equal(said.length, 2);
    for (const line of said) assert.match(line, /^\d reset ops_per_s=\d+ \d+$/);
  },
}));

/** What the files import, besides each other. */
function importedBy(files: readonly string[]): string[] {
  const modules = new Set(files.flatMap((file) => {
    const code = Deno.readTextFileSync(new URL(file, import.meta.url));
    return [...code.matchAll(/ from "(.*?)";$/gm)].map(([, from]) => from!);
  }));
  for (const file of files) modules.delete(`./${file}`);
  return [...modules];
}

/** Lines that are neither empty nor imports nor comments. */
function linesOf(file: string): number {
  const code = Deno.readTextFileSync(new URL(file, import.meta.url))
    .replaceAll(/\/\*\*.*?\*\/\n/gs, "")
    .replaceAll(/^import .*?;\n/gms, "");
  return code.split("\n").filter((line) => line !== "").length;
}

Deno.test("lab: the table of tasks says how long their files are, and what was opened", () => {
  const page = new URL("../../docs/lab.md", import.meta.url);
  const rows = Deno.readTextFileSync(page).match(/^\|.*\.ts`.*$/gm)!;
  assert.ok(rows.length >= 8);
  for (const row of rows) {
    const files = [...row.matchAll(/`(\w+\.ts)`/g)].map(([, file]) => file!);
    const lines = files.map(linesOf);
    assert.ok(row.includes(` ${lines.join(", ")} `), `${lines}: ${row}`);
    for (const count of lines) assert.ok(count <= 30, row);
    const opened = importedBy(files); // and the page itself
    assert.equal(Number(row.split("|")[4]), 1 + opened.length, row);
    for (const module of opened) {
      assert.match(module, /^(\.\.\/\.\.\/(mod|lab)|\.\/\w+)\.ts$/, row);
    }
  }
});
