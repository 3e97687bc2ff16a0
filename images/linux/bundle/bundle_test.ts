/** Bundles: what one machine has prepared and another takes, hostile ones too. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { KERNELS, productPath, ROOTFS } from "../cache.ts";
import type { ProgressOutput } from "../prepare.ts";
import { type Manifest, parseManifest } from "./manifest.ts";
import { takeBundle } from "./read.ts";
import { exportBundle } from "./write.ts";

const QUIET: ProgressOutput = { write() {}, columns: () => undefined };
const KERNEL_BYTES = new Uint8Array(100_000).fill(7);
const ROOT_BYTES = new Uint8Array(200_000).fill(9);

/** Two caches: one where a kernel and a root image are prepared, an empty one. */
class Caches implements AsyncDisposable {
  readonly dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  readonly full = `${this.dir}/full`;
  readonly empty = `${this.dir}/empty`;
  readonly bundle = `${this.dir}/bundle.tar.gz`;
  kernel = "";
  rootfs = "";

  static async make(): Promise<Caches> {
    const caches = new Caches();
    Deno.mkdirSync(caches.full);
    caches.kernel = await productPath(KERNELS.small, caches.full);
    caches.rootfs = await productPath(ROOTFS, caches.full);
    Deno.writeFileSync(caches.kernel, KERNEL_BYTES);
    Deno.writeTextFileSync(`${caches.kernel}.version`, "6.1-1\n");
    Deno.writeFileSync(caches.rootfs, ROOT_BYTES);
    return caches;
  }

  take(from = this.bundle): Promise<string[]> {
    return takeBundle(from, QUIET, this.empty);
  }

  /** Packs `files` into the bundle as they are. */
  async pack(files: Record<string, string | Uint8Array>): Promise<void> {
    const dir = `${this.dir}/packed`;
    Deno.mkdirSync(dir);
    for (const [name, content] of Object.entries(files)) {
      const bytes = typeof content === "string"
        ? new TextEncoder().encode(content)
        : content;
      Deno.writeFileSync(`${dir}/${name}`, bytes);
    }
    const names = Object.keys(files);
    const args = ["-czf", this.bundle, "-C", dir, ...names];
    assert((await new Deno.Command("tar", { args }).output()).success);
    Deno.removeSync(dir, { recursive: true });
  }

  async refused(message: RegExp, from?: string): Promise<void> {
    await assert.rejects(this.take(from), (error: Error) => {
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\n/, "one line");
      return true;
    });
    const left = [...Deno.readDirSync(this.empty)].map(({ name }) => name);
    assert.deepEqual(left, [], "nothing half-made");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Deno.remove(this.dir, { recursive: true });
  }
}

function manifestOf(name: string, bytes: Uint8Array): Manifest {
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return {
    format: 1,
    files: [{ name, size: bytes.length, sha256, version: "1" }],
  };
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

Deno.test("bundle: what is exported is taken elsewhere, bytes and version", async () => {
  await using caches = await Caches.make();
  const files = await exportBundle(caches.bundle, caches.full);
  assert.deepEqual(
    files.map(({ name }) => name),
    [nameOf(caches.kernel), nameOf(caches.rootfs)],
  );
  const paths = await caches.take();
  assert.deepEqual(paths.map(nameOf), files.map(({ name }) => name));
  const [kernel, rootfs] = paths;
  assert.deepEqual(Deno.readFileSync(kernel!), KERNEL_BYTES);
  assert.deepEqual(Deno.readFileSync(rootfs!), ROOT_BYTES);
  assert.equal(Deno.readTextFileSync(`${kernel}.version`), "6.1-1\n");
  assert.equal(Deno.statSync(kernel!).mode! & 0o777, 0o444);
  await caches.take(); // again: what is there is replaced by the same
});

Deno.test("bundle: a folder with what is in an archive will do", async () => {
  await using caches = await Caches.make();
  await exportBundle(caches.bundle, caches.full);
  const folder = `${caches.dir}/unpacked`;
  Deno.mkdirSync(folder);
  const args = ["-xzf", caches.bundle, "-C", folder];
  assert((await new Deno.Command("tar", { args }).output()).success);
  assert.equal((await caches.take(folder)).length, 2);
});

Deno.test("bundle: over HTTP, and what a server says instead", async () => {
  await using caches = await Caches.make();
  await exportBundle(caches.bundle, caches.full);
  const bytes = Deno.readFileSync(caches.bundle);
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    ({ url }) =>
      url.endsWith("/bundle")
        ? new Response(bytes)
        : url.endsWith("/half")
        ? new Response(bytes.slice(0, bytes.length / 2))
        : new Response("no", { status: 404 }),
  );
  const base = `http://127.0.0.1:${server.addr.port}`;
  assert.equal((await caches.take(`${base}/bundle`)).length, 2);
  Deno.removeSync(caches.empty, { recursive: true });
  await caches.refused(/"http.*none": the server answers 404/, `${base}/none`);
  await caches.refused(/is no bundle|has no whole/, `${base}/half`);
  await server.shutdown();
  await caches.refused(/"http:.*\/bundle": .*refused/, `${base}/bundle`);
});

Deno.test("bundle: no file, no archive, half of one, an empty one", async () => {
  await using caches = await Caches.make();
  await caches.refused(/from ".*none": no such file/, `${caches.dir}/none`);
  Deno.writeTextFileSync(caches.bundle, "no archive");
  await caches.refused(/is no bundle/);
  await exportBundle(`${caches.dir}/whole`, caches.full);
  const whole = Deno.readFileSync(`${caches.dir}/whole`);
  Deno.writeFileSync(caches.bundle, whole.subarray(0, whole.length - 200));
  await caches.refused(/is no bundle|damaged/);
  await caches.pack({ other: "x" });
  await caches.refused(/is no bundle, or has no whole manifest.json/);
  await caches.refused(/no such file/, caches.full); // a folder without one
});

Deno.test("bundle: a file with other contents than the manifest says", async () => {
  await using caches = await Caches.make();
  const name = nameOf(caches.kernel);
  const manifest = JSON.stringify(manifestOf(name, KERNEL_BYTES));
  const other = KERNEL_BYTES.slice();
  other[500] = 1;
  await caches.pack({ "manifest.json": manifest, [name]: other });
  await caches.refused(/vmlinux-\w+ is damaged: its SHA-256 is another/);
  const longer = new Uint8Array(KERNEL_BYTES.length + 1).fill(7);
  await caches.pack({ "manifest.json": manifest, [name]: longer });
  await caches.refused(/is larger than it says/);
  await caches.pack({ "manifest.json": manifest });
  await caches.refused(/has no whole vmlinux-/);
});

Deno.test("bundle: a link in a file's place is not followed", async () => {
  await using caches = await Caches.make();
  const name = nameOf(caches.kernel);
  const dir = `${caches.dir}/links`;
  Deno.mkdirSync(dir);
  Deno.symlinkSync("/etc/hostname", `${dir}/${name}`);
  const manifest = manifestOf(name, Deno.readFileSync("/etc/hostname"));
  Deno.writeTextFileSync(`${dir}/manifest.json`, JSON.stringify(manifest));
  const args = ["-czf", caches.bundle, "-C", dir, "manifest.json", name];
  assert((await new Deno.Command("tar", { args }).output()).success);
  await caches.refused(/damaged/);
});

Deno.test("bundle: one of other sources says what it has and what is needed", async () => {
  await using caches = await Caches.make();
  const name = "vmlinux-0123456789abcdef";
  const manifest = JSON.stringify(manifestOf(name, KERNEL_BYTES));
  await caches.pack({ "manifest.json": manifest, [name]: KERNEL_BYTES });
  const needed = nameOf(caches.kernel);
  await caches.refused(
    new RegExp(`another Vireo: it has ${name}, .* needs ${needed}`),
  );
});

Deno.test("bundle: what is no manifest is none", () => {
  const good = manifestOf("vmlinux-1", KERNEL_BYTES);
  assert.deepEqual(parseManifest(JSON.stringify(good)), good);
  const [file] = good.files;
  for (
    const bad of [
      ...["", "{", "null", "1", "[]", '{"format":1}'],
      JSON.stringify({ ...good, format: 2 }),
      ...["../x", "a/b", "/etc/passwd", "", ".", "a.b.c"].map((name) =>
        JSON.stringify({ format: 1, files: [{ ...file, name }] })
      ),
      ...[0, -1, 1.5, 2 ** 53, "1"].map((size) =>
        JSON.stringify({ format: 1, files: [{ ...file, size }] })
      ),
      JSON.stringify({ format: 1, files: [{ ...file, sha256: "00" }] }),
      JSON.stringify({ format: 1, files: [{ ...file, version: "a\nb" }] }),
      JSON.stringify({ format: 1, files: [null] }),
    ]
  ) assert.equal(parseManifest(bad), undefined, bad);
});

Deno.test("bundle: an export overwrites nothing, and wants something to export", async () => {
  await using caches = await Caches.make();
  Deno.writeTextFileSync(caches.bundle, "precious");
  await assert.rejects(
    exportBundle(caches.bundle, caches.full),
    /export ".*bundle.tar.gz": is there already$/,
  );
  assert.equal(Deno.readTextFileSync(caches.bundle), "precious");
  await assert.rejects(
    exportBundle(`${caches.dir}/x`, caches.empty),
    /nothing is prepared yet; "vireo prepare" does that/,
  );
  await assert.rejects(
    exportBundle(`${caches.dir}/no/x`, caches.full),
    /export ".*no\/x": No such file/,
  );
});

Deno.test("bundle: a cache that can't be written is named, in one line", async () => {
  await using caches = await Caches.make();
  await exportBundle(caches.bundle, caches.full);
  await assert.rejects(
    takeBundle(caches.bundle, QUIET, `${caches.bundle}/vireo`),
    {
      name: "VireoError",
      message: `${caches.bundle}/vireo can't be written: ENOTDIR; with ` +
        "XDG_CACHE_HOME it can be another folder",
    },
  );
});
