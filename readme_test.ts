/** The README's library example, as a reader would paste it. */
import assert from "node:assert/strict";
import { KVM, needing } from "./ffi/testing/needs.ts";
import { cacheFolder } from "./images/linux/cache.ts";

/** The first block of code in this language. */
function codeBlock(markdown: string, language: string): string {
  const start = "```" + language + "\n";
  const from = markdown.indexOf(start) + start.length;
  const to = markdown.indexOf("```", from);
  assert.ok(from >= start.length && to > from, `no ${language} block`);
  return markdown.slice(from, to);
}

/** A folder for a test of these sources, which stays. */
async function placeOf(sources: string): Promise<string> {
  const digest = await crypto.subtle.digest(
    "SHA-256",
    new TextEncoder().encode(sources),
  );
  const name = new Uint8Array(digest).toHex().slice(0, 16);
  const path = `${cacheFolder()}/readme-test/${name}`;
  await Deno.mkdir(path, { recursive: true });
  return path;
}

/** Puts a file there all at once: another run may read it. */
async function put(path: string, text: string): Promise<void> {
  const part = await Deno.makeTempFile({ dir: path.replace(/[^/]*$/, "") });
  await Deno.writeTextFile(part, text);
  await Deno.rename(part, path);
}

Deno.test(needing([KVM], {
  name: "README: the library example works when pasted",
  async fn() {
    const url = (name: string) => new URL(name, import.meta.url);
    const readme = await Deno.readTextFile(url("README.md"));
    // Beside a mod.ts, as the README says; not among the sources, which other
    // tests walk at the same time. Always in the same place for these sources:
    // Deno remembers by it that it has checked the types of all this, and looks
    // again when any of it has changed.
    const dir = await placeOf(url("mod.ts").href);
    const path = `${dir}/example.ts`;
    await put(`${dir}/mod.ts`, `export * from "${url("mod.ts")}";`);
    await put(path, codeBlock(readme, "ts"));
    const config = `--config=${decodeURIComponent(url("deno.json").pathname)}`;
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--check", config, path],
      env: { NO_COLOR: "1" },
      stdin: "null",
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assert.equal(code, 0, text(stderr));
    const output = text(stdout).replaceAll("\r", "");
    const promised = readme.split("It prints:\n\n```\n")[1]?.split("```")[0];
    assert.equal(output, promised);
  },
}));

Deno.test("README: the files that it names exist", async () => {
  const url = (name: string) => new URL(name, import.meta.url);
  const readme = await Deno.readTextFile(url("README.md"));
  const rows = readme.matchAll(/^\| [^|]+ \| (`.+) +\|$/gm);
  for (const [, cell] of rows) {
    let folder = "";
    for (const [, path] of cell!.matchAll(/`([\w./]+[./]\w*)`/g)) {
      // A name without a folder is in that of the one before it.
      if (path!.includes("/")) folder = path!.replace(/[^/]*$/, "");
      const file = path!.includes("/") ? path! : folder + path!;
      await Deno.stat(url(file));
    }
  }
});

Deno.test("README: the change that it shows applies to the file that it names", async () => {
  const url = (name: string) => new URL(name, import.meta.url);
  const readme = await Deno.readTextFile(url("README.md"));
  const [, path] = /in `([\w./]+)`:\n\n```diff\n/.exec(readme)!;
  const before = codeBlock(readme, "diff").split("\n")
    .filter((line) => !line.startsWith("+"))
    .map((line) => line.slice(1)).join("\n");
  const file = await Deno.readTextFile(url(path!));
  assert.equal(file.split(before).length, 2, `${path} has:\n${before}`);
});
