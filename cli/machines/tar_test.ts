/** Tar streams of a guest that means harm. */
import assert from "node:assert/strict";
import { tarOf, untar } from "./tar.ts";

const encoder = new TextEncoder();

/** An entry, whose checksum is right. */
function entry(name: string, type: string, { link = "", text = "" } = {}) {
  const head = new Uint8Array(512);
  const put = (at: number, value: string) =>
    head.set(encoder.encode(value), at);
  put(0, name);
  put(100, "0000644");
  put(124, text.length.toString(8).padStart(11, "0"));
  put(148, " ".repeat(8));
  put(156, type);
  put(157, link);
  const sum = head.reduce((sum, byte) => sum + byte, 0);
  put(148, sum.toString(8).padStart(6, "0") + "\0");
  const data = new Uint8Array(Math.ceil(text.length / 512) * 512);
  data.set(encoder.encode(text));
  return [head, data];
}
const END = new Uint8Array(1024);

/** What unpacking it says; nothing is ever outside the folder. */
async function unpack(...parts: Uint8Array[]): Promise<string> {
  const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  Deno.mkdirSync(`${dir}/in`);
  Deno.mkdirSync(`${dir}/out`);
  try {
    await untar(ReadableStream.from(parts), `${dir}/in`);
    return "ok";
  } catch (error) {
    return (error as Error).message;
  } finally {
    assert.deepEqual([...Deno.readDirSync(`${dir}/out`)], []);
    assert.deepEqual([...Deno.readDirSync(dir)].length, 2);
    Deno.removeSync(dir, { recursive: true });
  }
}

Deno.test("tar: names and links don't lead out of the folder", async () => {
  const text = "evil";
  const outside = /is not in the folder/;
  assert.match(await unpack(...entry("../out/f", "0", { text })), outside);
  assert.match(await unpack(...entry("a/../../out/f", "0", { text })), outside);
  assert.match(await unpack(...entry("/out/f", "0", { text })), outside);
  const link = entry("way", "2", { link: "../out" });
  assert.match(
    await unpack(...link, ...entry("way/f", "0", { text })),
    outside,
  );
  assert.match(await unpack(...link, ...entry("way/d/", "5")), outside);
  assert.match(await unpack(...link, ...entry("way", "5")), /exists/);
  const file = entry("f", "2", { link: "../out/f" });
  assert.match(await unpack(...file, ...entry("f", "0", { text })), /exists/);
  assert.match(
    await unpack(...link, ...entry("h", "1", { link: "way/x" })),
    outside,
  );
  assert.match(
    await unpack(...entry("h", "1", { link: "../out/x" })),
    outside,
  );
  for (const type of ["3", "4", "6", "7", "x", "Z"]) {
    assert.match(await unpack(...entry("d", type)), /is no file, folder or/);
  }
  assert.equal(await unpack(...entry("f", "0", { text }), END), "ok");
});

Deno.test("tar: what is cut or wrong is told", async () => {
  const whole = entry("f", "0", { text: "text" });
  assert.match(await unpack(), /ends in the middle/);
  assert.match(await unpack(whole[0]!), /ends in the middle/);
  assert.match(await unpack(whole[0]!.subarray(0, 100)), /ends in the middle/);
  const odd = whole[0]!.slice();
  odd[0] = 0x67;
  assert.match(await unpack(odd), /a checksum is wrong/);
  assert.match(await unpack(new Uint8Array(512).fill(0xff)), /makes no sense/);
  const [head] = entry("././@LongLink", "L");
  head!.set(encoder.encode("77777777777"), 124);
  head!.set(encoder.encode(" ".repeat(8)), 148);
  const sum = head!.reduce((sum, byte) => sum + byte, 0);
  head!.set(encoder.encode(sum.toString(8).padStart(6, "0") + "\0"), 148);
  assert.match(await unpack(head!), /a name is too long/);
});

Deno.test("tar: a folder is its own copy, in chunks of any size", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  Deno.mkdirSync(`${dir}/a/b`, { recursive: true });
  Deno.writeTextFileSync(`${dir}/a/b/${"ü".repeat(100)}`, "x".repeat(1000));
  const chunks: Uint8Array[] = [];
  for await (const chunk of tarOf(`${dir}/a`)) chunks.push(chunk);
  const all = new Uint8Array(
    await new Blob(chunks as BlobPart[]).arrayBuffer(),
  );
  for (const size of [1, 511, 4096]) {
    const to = `${dir}/${size}`;
    Deno.mkdirSync(to);
    const parts = Array.from(
      { length: Math.ceil(all.length / size) },
      (_, i) => all.subarray(i * size, (i + 1) * size),
    );
    await untar(ReadableStream.from(parts), to);
    const copy = Deno.readTextFileSync(`${to}/b/${"ü".repeat(100)}`);
    assert.equal(copy, "x".repeat(1000));
  }
  Deno.removeSync(dir, { recursive: true });
});
