import assert from "node:assert/strict";
import type { Snapshot } from "../../vmm/snapshot/mod.ts";
import {
  entryText,
  findEntry,
  keepEntry,
  listEntries,
  ownFolder,
  trim,
  useEntry,
} from "./cache.ts";

/** Something that saves as much as it is told. */
function saved(bytes: number): Snapshot {
  const save = (folder: string) => {
    Deno.mkdirSync(folder);
    Deno.writeFileSync(`${folder}/memory-1`, new Uint8Array(bytes).fill(1));
    Deno.writeTextFileSync(`${folder}/state.json`, "{}");
  };
  return { save } as Snapshot;
}

function inCache(test: (cache: string) => void): void {
  const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  try {
    test(ownFolder(`${dir}/instant`));
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

Deno.test("instant cache: what is kept is found by its key, and replaced by the next", () => {
  inCache((cache) => {
    assert.equal(findEntry(cache, "a"), undefined);
    keepEntry(cache, "a", "one", saved(5000));
    assert.equal(findEntry(cache, "a"), `${cache}/a`);
    assert.equal(findEntry(cache, "b"), undefined);
    keepEntry(cache, "a", "two", saved(6000));
    assert.deepEqual(listEntries(cache).map(({ what }) => what), ["two"]);
    assert.match(entryText(listEntries(cache)[0]!), /MiB .* two$/);
    const names = [...Deno.readDirSync(cache)].map(({ name }) => name);
    assert.deepEqual(names, ["a"], "nothing half-made stays");
  });
});

Deno.test("instant cache: whatever was done to a saved memory is noticed", () => {
  const attempts: Record<string, (folder: string) => void> = {
    "written to": (folder) => {
      using file = Deno.openSync(`${folder}/memory-1`, { write: true });
      file.writeSync(Uint8Array.of(9));
      Deno.utimeSync(`${folder}/memory-1`, new Date(), new Date(12345));
    },
    "cut": (folder) => Deno.truncateSync(`${folder}/memory-1`, 1000),
    "removed": (folder) => Deno.removeSync(`${folder}/memory-1`),
    "another": (folder) => {
      Deno.copyFileSync(`${folder}/memory-1`, `${folder}/other`);
      Deno.renameSync(`${folder}/other`, `${folder}/memory-1`);
    },
    "one more": (folder) => Deno.writeTextFileSync(`${folder}/memory-2`, ""),
  };
  for (const [what, attempt] of Object.entries(attempts)) {
    inCache((cache) => {
      keepEntry(cache, "a", what, saved(5000));
      attempt(`${cache}/a`);
      assert.throws(
        () => findEntry(cache, "a"),
        /a: its memory is not as it was saved$/,
        what,
      );
    });
  }
  inCache((cache) => {
    keepEntry(cache, "a", "x", saved(5000));
    Deno.removeSync(`${cache}/a/about.json`);
    assert.throws(() => findEntry(cache, "a"), /about\.json/);
  });
});

Deno.test("instant cache: beyond its size, what was used longest ago goes first", () => {
  inCache((cache) => {
    for (const key of ["a", "b", "c"]) {
      keepEntry(cache, key, key, saved(100_000));
    }
    const at = (seconds: number) => new Date(1e12 + seconds * 1000);
    ["b", "c", "a"].forEach((key, i) =>
      Deno.utimeSync(`${cache}/${key}/about.json`, at(i), at(i))
    );
    trim(cache, 250_000);
    assert.deepEqual(listEntries(cache).map(({ what }) => what), ["a", "c"]);
    findEntry(cache, "c"); // which counts as a use
    trim(cache, 150_000);
    assert.deepEqual(listEntries(cache).map(({ what }) => what), ["c"]);
  });
});

Deno.test("instant cache: what was left half-made goes, unless it is new", () => {
  inCache((cache) => {
    Deno.mkdirSync(`${cache}/new-1`);
    Deno.mkdirSync(`${cache}/new-2`);
    Deno.utimeSync(`${cache}/new-1`, new Date(0), new Date(0));
    trim(cache, 1e9);
    const names = [...Deno.readDirSync(cache)].map(({ name }) => name);
    assert.deepEqual(names, ["new-2"]);
    assert.deepEqual(listEntries(cache), []);
  });
});

Deno.test("instant cache: a folder that others can look into is not used", () => {
  inCache((cache) => {
    for (const mode of [0o755, 0o770, 0o701]) {
      Deno.chmodSync(cache, mode);
      assert.throws(() => ownFolder(cache), /is not only yours \(mode 0700\)$/);
    }
    Deno.chmodSync(cache, 0o700);
    assert.equal(ownFolder(cache), cache);
    Deno.symlinkSync(cache, `${cache}-link`);
    assert.throws(() => ownFolder(`${cache}-link`), /instant-link: /);
  });
});

Deno.test("instant cache: who uses one that another boot replaces or takes away uses the next, or none", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  const cache = ownFolder(`${dir}/instant`);
  try {
    keepEntry(cache, "a", "one", saved(5000));
    const whats: string[] = [];
    const use = (meanwhile: () => void) =>
      useEntry(cache, "a", () => {
        const [{ what } = { what: "none" }] = listEntries(cache);
        whats.push(what);
        if (whats.length > 1) return Promise.resolve(what);
        meanwhile();
        return Promise.reject(new Error("a file is gone"));
      });
    assert.equal(
      await use(() => keepEntry(cache, "a", "two", saved(6000))),
      "two",
    );
    assert.deepEqual(whats.splice(0), ["one", "two"]);
    await assert.rejects(use(() => {}), /^Error: a file is gone$/);
    whats.length = 0;
    const remove = () => Deno.removeSync(`${cache}/a`, { recursive: true });
    assert.equal(await use(remove), undefined);
    assert.deepEqual(whats, ["two"]);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
