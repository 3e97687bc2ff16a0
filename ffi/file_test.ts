/** Files by their names. */
import assert from "node:assert/strict";
import { replaceFile } from "./file.ts";

Deno.test("replaceFile: in the place of another file or of none, and nothing else is left", () => {
  const folder = Deno.makeTempDirSync({ prefix: "vireo-file-" });
  try {
    const [from, to] = [`${folder}/new`, `${folder}/file`];
    for (const text of ["first", "second", "third"]) {
      Deno.writeTextFileSync(from, text);
      replaceFile(from, to);
      assert.equal(Deno.readTextFileSync(to), text);
      assert.deepEqual([...Deno.readDirSync(folder)].length, 1);
    }
    assert.throws(() => replaceFile(from, to), Deno.errors.NotFound);
    Deno.writeTextFileSync(from, "fourth");
    const nowhere = `${folder}/none/file`;
    assert.throws(() => replaceFile(from, nowhere), Deno.errors.NotFound);
    assert.equal(Deno.readTextFileSync(to), "third");
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
