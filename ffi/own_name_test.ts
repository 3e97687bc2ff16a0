/** What is removed: our own, and nothing that stands in its place. */
import assert from "node:assert/strict";
import { OwnName } from "./own_name.ts";
import { connectUnix, UnixListener } from "./unix_socket.ts";
import { closeFd } from "./file.ts";

/** A folder that ends with the test. */
class Folder implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "vireo-name-" });

  of(name: string): string {
    return `${this.path}/${name}`;
  }

  get names(): string[] {
    return [...Deno.readDirSync(this.path)].map(({ name }) => name).sort();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** What somebody may have put in the place of a socket. */
const INSTEAD: Record<string, (path: string) => void> = {
  "a file": (path) => Deno.writeTextFileSync(path, "precious"),
  "an empty folder": (path) => Deno.mkdirSync(path),
  "a link to another file": (path) => {
    Deno.writeTextFileSync(`${path}.other`, "precious");
    Deno.symlinkSync(`${path}.other`, path);
  },
  "a link to the moved socket": (path) => Deno.symlinkSync(`${path}.old`, path),
  "a hard link to another file": (path) => {
    Deno.writeTextFileSync(`${path}.other`, "precious");
    Deno.linkSync(`${path}.other`, path);
  },
};

for (const [what, put] of Object.entries(INSTEAD)) {
  Deno.test(`own names: ${what} in the place of a socket stays`, () => {
    using folder = new Folder();
    const path = folder.of("socket");
    {
      using _listener = new UnixListener(path, "test");
      Deno.renameSync(path, `${path}.old`);
      put(path);
    }
    assert.ok(folder.names.includes("socket"), "it is not ours");
    if (Deno.statSync(path).isFile) {
      assert.equal(Deno.readTextFileSync(path), "precious");
    }
  });
}

Deno.test("own names: another's socket stays, whatever inode number it got", () => {
  using folder = new Folder();
  const path = folder.of("socket");
  const first = new UnixListener(path, "test");
  Deno.removeSync(path);
  using second = new UnixListener(path, "test");
  first[Symbol.dispose]();
  const client = connectUnix(path);
  assert.ok(client >= 0, "the second one answers");
  closeFd(client);
  assert.equal(second.path, path);
});

Deno.test("own names: ours goes, also after a chdir, and when it has gone that is well", () => {
  using folder = new Folder();
  using other = new Folder();
  const before = Deno.cwd();
  Deno.chdir(folder.path);
  try {
    const listeners = ["a", "b"].map((name) => new UnixListener(name, "test"));
    Deno.chdir(other.path);
    Deno.writeTextFileSync("a", "precious");
    Deno.removeSync(folder.of("b"));
    for (const listener of listeners) listener[Symbol.dispose]();
    assert.deepEqual(folder.names, []);
    assert.deepEqual(other.names, ["a"]);
  } finally {
    Deno.chdir(before);
  }
});

Deno.test("own names: a folder that is gone, or no folder any more, is no error", () => {
  using folder = new Folder();
  Deno.mkdirSync(folder.of("in"));
  Deno.writeTextFileSync(folder.of("in/file"), "");
  const name = new OwnName(folder.of("in/file"));
  Deno.removeSync(folder.of("in"), { recursive: true });
  name[Symbol.dispose]();
  Deno.writeTextFileSync(folder.of("in"), "precious");
  name[Symbol.dispose]();
  assert.equal(Deno.readTextFileSync(folder.of("in")), "precious");
});

Deno.test("own names: one that is to stay does", async () => {
  using folder = new Folder();
  for (const name of ["a", "b"]) Deno.writeTextFileSync(folder.of(name), "");
  const [a, b] = ["a", "b"].map((name) => new OwnName(folder.of(name)));
  a!.keep();
  for (const name of [a!, b!]) await name.remove();
  a![Symbol.dispose]();
  assert.deepEqual(folder.names, ["a"]);
});
