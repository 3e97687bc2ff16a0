import assert from "node:assert/strict";
import {
  bzImageRecipe,
  cacheFolder,
  COMPRESSIONS,
  inputsKey,
  isBuilt,
  KERNELS,
  productPath,
  ROOTFS,
} from "./cache.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const environment = (values: Record<string, string>) => (name: string) =>
  values[name];

Deno.test("cache: the folder is in XDG_CACHE_HOME, else in ~/.cache", () => {
  const home = { HOME: "/home/a" };
  assert.equal(cacheFolder(environment(home)), "/home/a/.cache/vireo");
  assert.equal(
    cacheFolder(environment({ ...home, XDG_CACHE_HOME: "/c" })),
    "/c/vireo",
  );
  assert.equal(
    cacheFolder(environment({ ...home, XDG_CACHE_HOME: "relative" })),
    "/home/a/.cache/vireo",
  );
});

Deno.test("cache: the key changes with any content and any name", async () => {
  const key = await inputsKey(["a", "b"], [bytes("1"), bytes("2")]);
  assert.match(key, /^[0-9a-f]{16}$/);
  assert.equal(await inputsKey(["a", "b"], [bytes("1"), bytes("2")]), key);
  for (
    const [names, contents] of [
      [["a", "b"], ["1", "3"]],
      [["a", "c"], ["1", "2"]],
      [["a", "b"], ["12", ""]],
      [["a", "b"], ["", "12"]],
    ] as const
  ) {
    assert.notEqual(await inputsKey(names, contents.map(bytes)), key);
  }
});

Deno.test("cache: every product has all of its inputs and a path of its own", async () => {
  const key = "[0-9a-f]{16}";
  assert.match(
    await productPath(KERNELS.small, "/c"),
    new RegExp(`^/c/vmlinux-${key}$`),
  );
  assert.match(
    await productPath(KERNELS.full, "/c"),
    new RegExp(`^/c/vmlinux-full-${key}$`),
  );
  for (const compression of COMPRESSIONS) {
    assert.match(
      await productPath(bzImageRecipe(compression), "/c"),
      new RegExp(`^/c/bzImage-${compression}-${key}$`),
    );
  }
  assert.match(
    await productPath(ROOTFS, "/c"),
    new RegExp(`^/c/rootfs-${key}.ext4$`),
  );
});

Deno.test("cache: the root image's recipe names every file of files/", async () => {
  const found: string[] = [];
  const walk = async (path: string): Promise<void> => {
    for await (const entry of Deno.readDir(new URL(path, import.meta.url))) {
      if (entry.isDirectory) await walk(`${path}${entry.name}/`);
      else found.push(path + entry.name);
    }
  };
  await walk("files/");
  const named = ROOTFS.inputs.filter((input) => input.startsWith("files/"));
  assert.deepEqual([...named].sort(), found.sort());
});

Deno.test("cache: a folder is not a product", async () => {
  const folder = await Deno.makeTempDir();
  try {
    assert.equal(await isBuilt(folder), false);
    assert.equal(await isBuilt(`${folder}/none`), false);
    await Deno.writeTextFile(`${folder}/one`, "");
    assert.equal(await isBuilt(`${folder}/one`), true);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("cache: no kernel's recipe names code that only follows it", () => {
  const recipes = [...Object.values(KERNELS), bzImageRecipe("xz")];
  for (const { inputs } of recipes) {
    assert(inputs.includes("kernel_recipe.ts"));
    const code = inputs.filter((input) => input.endsWith(".ts"));
    assert.deepEqual(code, ["kernel_recipe.ts"]);
  }
});

Deno.test("cache: the kernels' recipe imports nothing that decides more", async () => {
  const recipe = new URL("kernel_recipe.ts", import.meta.url);
  assert(!/^import|^export .* from /m.test(await Deno.readTextFile(recipe)));
});
