/** Each promise in docs/promises.md names a test that exists. */
import assert from "node:assert/strict";

const url = (name: string) => new URL(name, import.meta.url);

/** `path` "name" pairs; lines may be wrapped anywhere between words. */
function proofs(markdown: string): { path: string; name: string }[] {
  const text = markdown.replaceAll(/\s+/g, " ");
  return [...text.matchAll(/`([\w./]+_(?:test|bench)\.ts)`: ?"([^"]+)"/g)]
    .map(([, path, name]) => ({ path: path!, name: name! }));
}

/** `${NAME}` replaced by the number that the file says NAME is. */
function constantsFilledIn(source: string): string {
  return source.replaceAll(
    /\$\{(\w+)\}/g,
    (whole, name) =>
      new RegExp(`const ${name} = (\\d+);`).exec(source)?.[1] ?? whole,
  );
}

Deno.test("promises, devices: each named test exists", async () => {
  const documents = ["docs/promises.md", "docs/devices.md"];
  const found = documents.flatMap((path) =>
    proofs(Deno.readTextFileSync(url(path)))
  );
  assert.ok(found.length > 60, `${found.length} tests are named`);
  for (const { path, name } of found) {
    const source = constantsFilledIn(await Deno.readTextFile(url(path)));
    const named = ['"', "`"].some((quote) => source.includes(quote + name));
    assert.ok(named, `${path} has no test "${name}"`);
  }
});

Deno.test("promises: each has its proof", async () => {
  const markdown = await Deno.readTextFile(url("docs/promises.md"));
  for (const item of markdown.split(/^- /m).slice(1)) {
    const promise = item.split(/\n\n/)[0]!;
    assert.ok(proofs(promise).length > 0, `no proof: ${promise}`);
  }
});
