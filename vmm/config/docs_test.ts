/** docs/configuration.md says what the table of keys says. */
import assert from "node:assert/strict";
import { parseConfig } from "./file.ts";
import { withKeyTables } from "./docs.ts";

/** Without what `deno fmt` pads and wraps. */
function plain(markdown: string): string {
  return markdown.replaceAll(/[ \n]+/g, " ").replaceAll(/-{3,}/g, "---");
}

const url = (name: string) => new URL(`../../${name}`, import.meta.url);

Deno.test("docs/configuration.md: its example is examples/vm.json, and is right", async () => {
  const document = await Deno.readTextFile(url("docs/configuration.md"));
  const example = document.split("```json\n")[1]!.split("```")[0]!;
  assert.equal(example, await Deno.readTextFile(url("examples/vm.json")));
  const missing = /vm: boot-source.kernel_image_path: no such file "vmlinux"\n/;
  assert.throws(() => parseConfig(example, "vm"), missing);
});

Deno.test("docs/configuration.md: has each key, as it is", async () => {
  const document = await Deno.readTextFile(url("docs/configuration.md"));
  assert.equal(
    plain(document),
    plain(withKeyTables(document)),
    "bring it up to date: deno run -A vmm/config/docs.ts",
  );
});
