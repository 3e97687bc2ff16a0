/** Archives, as another program reads them. */
import assert from "node:assert/strict";
import { needing } from "../ffi/testing/needs.ts";
import { cpioArchive, file, FileType, folder, link } from "./cpio.ts";

const text = (value: string) => new TextEncoder().encode(value);

/** Runs GNU cpio, which has nothing to do with ours. */
async function cpio(
  args: string[],
  input: Uint8Array,
  cwd?: string,
): Promise<string> {
  const child = new Deno.Command("cpio", {
    args,
    cwd,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(input);
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assert.ok(success, decode(stderr));
  return decode(stdout);
}

Deno.test(needing(["cpio"], {
  name: "cpioArchive: cpio lists files, folders, links and devices",
  async fn() {
    const archive = cpioArchive([
      folder("bin"),
      file("bin/odd", text("12345"), true),
      link("bin/sh", "odd"),
      file("empty", new Uint8Array()),
      {
        path: "console",
        mode: FileType.CHARACTER_DEVICE | 0o600,
        device: { major: 5, minor: 1 },
      },
    ]);
    const list = await cpio(["-tvn"], archive);
    const lines = list.trim().split("\n").map((line) =>
      line.replace(/ +/g, " ").replace(/ Jan 1 1970/, "")
    );
    assert.deepEqual(lines, [
      "drwxr-xr-x 2 0 0 0 bin",
      "-rwxr-xr-x 1 0 0 5 bin/odd",
      "lrwxrwxrwx 1 0 0 3 bin/sh -> odd",
      "-rw-r--r-- 1 0 0 0 empty",
      "crw------- 1 0 0 5, 1 console",
    ]);
    assert.equal(archive.length % 512, 0);
  },
}));

Deno.test(needing(["cpio"], {
  name: "cpioArchive: what cpio unpacks is what went in",
  async fn() {
    const dir = Deno.makeTempDirSync();
    try {
      const contents = Array.from(
        { length: 9 },
        (_, size) => crypto.getRandomValues(new Uint8Array(size * 1021)),
      );
      const files = contents.map((data, i) =>
        file(`d/${"n".repeat(i + 1)}`, data)
      );
      await cpio(["-i", "--quiet"], cpioArchive([folder("d"), ...files]), dir);
      contents.forEach((data, i) =>
        assert.deepEqual(
          Deno.readFileSync(`${dir}/d/${"n".repeat(i + 1)}`),
          data,
        )
      );
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  },
}));

Deno.test("cpioArchive: a path must be relative, and once", () => {
  for (const path of ["", "/etc", "a\0b"]) {
    assert.throws(() => cpioArchive([folder(path)]), RangeError);
  }
  assert.throws(() => cpioArchive([folder("a"), folder("a")]), /twice/);
});
