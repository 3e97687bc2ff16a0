/** Options of the user's own for the research kernel. */
import assert from "node:assert/strict";
import { kernelRecipe, KERNELS, productPath } from "./cache.ts";
import { KconfigFragment } from "./kconfig.ts";
import { prepared } from "./prepare.ts";
import {
  RESEARCH_CONFIGS,
  RESEARCH_MAKE_ARGUMENTS,
  RESEARCH_PATCHES,
} from "./research_recipe.ts";

const of = (text: string) => new KconfigFragment(text, "my.config");
const exists = (name: string) => Promise.resolve(name !== "FOO");

Deno.test("kconfig: what is no option of a .config is refused with its line", () => {
  const refused: [text: string, message: RegExp][] = [
    ["", /^kconfig "my.config": no option$/],
    ["# only words\n", /no option$/],
    ["CONFIG_A=y\nFOO=y", /line 2: "FOO=y": no option; write CONFIG_NAME=y/],
    ["CONFIG_A", /line 1: "CONFIG_A": no option/],
    ["CONFIG_A=yes", /line 1: "CONFIG_A=yes": no option/],
    ['CONFIG_A="x', /line 1: "CONFIG_A="x": no option/],
    ["CONFIG_A=y CONFIG_B=y", /no option/],
    ["CONFIG_A=$(rm x)", /no option/],
    ["CONFIG_A=m", /the kernel's own modules are not kept; write CONFIG_A=y/],
    ["x".repeat(500), /line 1: "x{60}": no option/],
  ];
  for (const [text, message] of refused) {
    assert.throws(() => of(text), { name: "VireoError", message }, text);
  }
});

Deno.test("kconfig: an option that the kernel doesn't take is named, and why", async () => {
  const config =
    'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_N=4\nCONFIG_S="x"\n';
  await of('CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_S="x"\nCONFIG_C=n')
    .check(config, exists);
  const refused: [text: string, message: string][] = [
    ["CONFIG_FOO=y", "CONFIG_FOO=y: this kernel has no such option"],
    [
      "CONFIG_B=y",
      "CONFIG_B=y: left out: what it depends on is not set, or it can't be chosen",
    ],
    ["CONFIG_N=8", "CONFIG_N=8: the kernel makes it 4"],
    [
      "# CONFIG_A is not set",
      "# CONFIG_A is not set: it is y: others select it",
    ],
  ];
  for (const [text, message] of refused) {
    await assert.rejects(of(text).check(config, exists), {
      name: "VireoError",
      message: `kconfig "my.config": line 1: ${message}`,
    });
  }
});

Deno.test("kconfig: the same options are the same kernel, and others another", async () => {
  const path = async (text?: string) =>
    await productPath(
      await kernelRecipe("research", text && of(text).text),
      "/c",
    );
  const one = await path("CONFIG_A=y\nCONFIG_B=4\n");
  assert.match(one, /^\/c\/vmlinux-research-[0-9a-f]{16}$/);
  assert.equal(await path("# why\nCONFIG_B=4\n\nCONFIG_A=y"), one);
  assert.equal(await path("CONFIG_B=5\nCONFIG_A=y\nCONFIG_B=4"), one);
  assert.notEqual(await path("CONFIG_B=5\nCONFIG_A=y"), one);
  assert.notEqual(await path(), one);
  for (const variant of ["small", "full"] as const) {
    assert.equal(await kernelRecipe(variant), KERNELS[variant]);
  }
});

Deno.test("kconfig: a file that can't be read, and one for another kernel, in a line", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vireo-test-" });
  try {
    const refused = (
      variant: "small" | "research",
      kconfig: string,
      message: RegExp,
    ) =>
      assert.rejects(prepared(variant, { kconfig }), {
        name: "VireoError",
        message,
      });
    await refused(
      "research",
      `${folder}/none`,
      /^kconfig "\S+": no such file$/,
    );
    await refused("research", folder, /^kconfig "\S+": .*directory/i);
    await Deno.truncate(
      await Deno.makeTempFile({ dir: folder }).then((path) => {
        Deno.renameSync(path, `${folder}/large`);
        return `${folder}/large`;
      }),
      2 << 20,
    );
    await refused("research", `${folder}/large`, /has 2097152 bytes: it is no/);
    await refused(
      "small",
      "a",
      /^kconfig "a": only for the variant research, /,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("research kernel: its recipe has all that it is to have, and names no machine", async () => {
  const read = (name: string) =>
    Deno.readTextFile(new URL(name, import.meta.url));
  const config = (await Promise.all(RESEARCH_CONFIGS.map(read))).join("\n");
  const last = new Map<string, string>();
  for (const line of config.split("\n")) {
    const [, off, name, value] =
      /^(?:# CONFIG_(\w+) is not set|CONFIG_(\w+)=(.*))$/.exec(line) ?? [];
    if (off ?? name) last.set((off ?? name)!, value ?? "n");
  }
  for (
    const name of [
      ...["MODULES", "DEVMEM", "KALLSYMS", "FTRACE", "FUNCTION_TRACER"],
      ...["KPROBES", "KCOV", "DEBUG_INFO_DWARF5", "9P_FS", "NET_9P_VIRTIO"],
      ...["VIRTIO_INPUT", "INPUT_EVDEV", "UNWINDER_FRAME_POINTER"],
    ]
  ) {
    assert.equal(last.get(name), "y", name);
  }
  assert.equal(last.get("RANDOMIZE_BASE"), "n", "symbols are where they say");
  assert(RESEARCH_MAKE_ARGUMENTS.includes("KCOV_INSTRUMENT_virtio_blk.o=y"));
  for (const name of RESEARCH_PATCHES) {
    const patch = await read(name);
    assert(patch.startsWith("SPDX-License-Identifier: GPL-2.0\n"), name);
  }
  const recipe = await read("research_recipe.ts");
  assert(!/^import|^export .* from /m.test(recipe), "nothing decides more");
});
