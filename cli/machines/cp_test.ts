/** `vireo cp`: the agent is a process of this host, its machine a mock. */
import assert from "node:assert/strict";
import { exists } from "../../ffi/file.ts";
import { needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { startVireo, vireo } from "../../vmm/testing/command.ts";
import { ExecServer } from "../../vmm/testing/exec_server.ts";

Deno.test(needing(["gcc"], {
  name: "vireo cp: to the guest and back, whole, with its mode, or not at all",
  async fn(t) {
    await using server = await ExecServer.make();
    const guest = (path: string) => `${server.path}:${path}`;
    const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    const cp = async (from: string, to: string) => {
      const said = await vireo(["cp", from, to]);
      assert.deepEqual(said, { code: 0, stdout: "", stderr: "" });
    };
    const refuses = async (pattern: RegExp, from: string, to: string) => {
      const { code, stdout, stderr } = await vireo(["cp", from, to]);
      assert.match(stderr, pattern);
      assert.deepEqual([code, stdout], [1, ""]);
      assert.equal(stderr.split("\n").length, 2, stderr);
    };
    const names = (path: string) =>
      [...Deno.readDirSync(path)].map(({ name }) => name).toSorted();
    const bytes = new Uint8Array(300_000);
    crypto.getRandomValues(bytes.subarray(0, 65536));
    const file = `${dir}/a b:c`;
    Deno.writeFileSync(file, bytes);
    Deno.mkdirSync(`${dir}/in`);
    Deno.mkdirSync(`${dir}/back`);
    await t.step("both ways, into folders, over what is there", async () => {
      Deno.chmodSync(file, 0o751);
      await cp(file, guest(`${dir}/in`));
      await cp(guest(`${dir}/in/a b:c`), `${dir}/back`);
      for (const copy of [`${dir}/in/a b:c`, `${dir}/back/a b:c`]) {
        assert.ok(Buffer.from(Deno.readFileSync(copy)).equals(bytes));
        assert.equal(Deno.statSync(copy).mode! & 0o777, 0o751);
      }
      Deno.symlinkSync("a b:c", `${dir}/in/link`);
      Deno.writeTextFileSync(`${dir}/short`, "");
      await cp(`${dir}/short`, guest(`${dir}/in/link`));
      assert.equal(Deno.readTextFileSync(`${dir}/in/a b:c`), "");
      assert.ok(Deno.lstatSync(`${dir}/in/link`).isSymlink);
      await cp(guest(`${dir}/short`), "/dev/null");
      await cp(file, guest("/dev/null"));
      assert.ok(Deno.statSync("/dev/null").isCharDevice);
    });
    await t.step("what can't be: a line, and nothing has changed", async () => {
      await Promise.all([
        refuses(/^vireo: cp a b: none is in a guest; /, "a", "b"),
        refuses(/both are in guests/, "x:a", "y:b"),
        refuses(/No such file/, `${dir}/none`, guest("/tmp")),
        refuses(/is a folder$/m, dir, guest("/tmp")),
        refuses(/none/, guest(`${dir}/none`), `${dir}/none`),
        refuses(/is a folder$/m, guest(dir), `${dir}/none`),
        refuses(/: no such machine; /, `${dir}/short`, "no-such:/tmp"),
        refuses(/: cp: .*none\/x/, `${dir}/short`, guest(`${dir}/none/x`)),
        refuses(/No such file/, guest(file), `${dir}/none/x`),
      ]);
      assert.ok(!exists(`${dir}/none`));
    });
    await t.step(
      "folders, with all that is in them, or not at all",
      async () => {
        const long = `${"n".repeat(90)}/${"m".repeat(90)}`;
        const from = `${dir}/tree`;
        Deno.mkdirSync(`${from}/${long}`, { recursive: true });
        Deno.mkdirSync(`${from}/empty`, { mode: 0o700 });
        Deno.writeFileSync(`${from}/${long}/f`, bytes, { mode: 0o640 });
        Deno.writeTextFileSync(`${from}/none`, "");
        Deno.symlinkSync(`${long}/f`, `${from}/link`);
        Deno.symlinkSync("x".repeat(200), `${from}/dangling`);
        Deno.linkSync(`${from}/none`, `${from}/twice`);
        const copy = async (from: string, to: string) => {
          const said = await vireo(["cp", "-r", from, to]);
          assert.deepEqual(said, { code: 0, stdout: "", stderr: "" });
        };
        await copy(from, guest(`${dir}/in`));
        await copy(guest(`${dir}/in/tree`), `${dir}/back/tree2`);
        await copy(`${dir}/short`, guest(`${dir}/in/short`));
        await copy(guest(`${dir}/in/short`), `${dir}/back/short`);
        const list = (path: string) => {
          const args = [path, "-printf", "%P %y %m %l %s\n"];
          const { stdout } = new Deno.Command("find", { args }).outputSync();
          const folders = / (d \d+) *\d+$/gm; // their own sizes say nothing
          return new TextDecoder().decode(stdout).replaceAll(folders, " $1")
            .split("\n").toSorted();
        };
        for (const path of [`${dir}/in/tree`, `${dir}/back/tree2`]) {
          assert.deepEqual(list(path), list(from));
          const same = Buffer.from(Deno.readFileSync(`${path}/link`));
          assert.ok(same.equals(bytes));
        }
        const no = async (pattern: RegExp, from: string, to: string) => {
          const { code, stderr } = await vireo(["cp", "-r", from, to]);
          assert.match(stderr, pattern);
          assert.deepEqual([code, stderr.split("\n").length], [1, 2]);
        };
        await Promise.all([
          no(/in\/tree: is there already/, from, guest(`${dir}/in`)),
          no(/tree" is there already/, guest(from), dir),
        ]);
        const fifo = `${from}/fifo`;
        await new Deno.Command("mkfifo", { args: [fifo] }).output();
        await Promise.all([
          no(
            /fifo" is no file, folder or link/,
            from,
            guest(`${dir}/in/other`),
          ),
          no(
            /fifo" is no file, folder or link/,
            guest(from),
            `${dir}/back/other`,
          ),
          no(/No such file/, `${dir}/nothing`, guest(`${dir}/in`)),
          no(/No such file/, guest(`${dir}/nothing`), `${dir}/back/nothing`),
        ]);
        for (const path of [`${dir}/in`, `${dir}/back`]) {
          for (const name of names(path)) {
            assert.doesNotMatch(name, /vireo-|other|nothing/);
            if (/tree|short/.test(name)) {
              Deno.removeSync(`${path}/${name}`, { recursive: true });
            }
          }
        }
      },
    );
    await t.step("a signal in the middle", async () => {
      const fifo = `${dir}/slow`;
      await new Deno.Command("mkfifo", { args: [fifo] }).output();
      const half = async (from: string, to: string, folder: string) => {
        const copying = startVireo(["cp", from, to]);
        using writer = await Deno.open(fifo, { write: true });
        await writer.write(new TextEncoder().encode("half"));
        const begun = () => names(folder).some((name) => /vireo-/.test(name));
        await until(begun, "half a file");
        copying.kill("SIGINT");
        assert.equal((await copying.output()).signal, "SIGINT");
      };
      await half(guest(fifo), `${dir}/back`, `${dir}/back`);
      await half(fifo, guest(`${dir}/in`), `${dir}/in`);
    });
    await t.step("the guest's end in the middle", async () => {
      Deno.writeTextFileSync(`${dir}/back/kept`, "kept");
      const fifo = `${dir}/fifo`;
      await new Deno.Command("mkfifo", { args: [fifo] }).output();
      const copying = vireo(["cp", guest(fifo), `${dir}/back/kept`]);
      using writer = await Deno.open(fifo, { write: true });
      await writer.write(new TextEncoder().encode("half"));
      server.guest.child.kill("SIGKILL");
      const { code, stderr } = await copying;
      assert.equal(code, 1);
      assert.match(stderr, /exec: the machine has ended/);
      assert.equal(Deno.readTextFileSync(`${dir}/back/kept`), "kept");
    });
    assert.deepEqual(names(`${dir}/back`), ["a b:c", "kept"]);
    assert.deepEqual(names(`${dir}/in`), ["a b:c", "link"]);
    Deno.removeSync(dir, { recursive: true });
  },
}));
