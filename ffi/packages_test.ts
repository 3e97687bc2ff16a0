import assert from "node:assert/strict";
import {
  CLOUD_KERNEL,
  installCommand,
  MEMTEST,
  packageOf,
  PACKAGES,
  packagesFor,
} from "./packages.ts";

const ROOT = new URL("../", import.meta.url);

Deno.test("packages: each stands in the list once, and so does each program", () => {
  const names = PACKAGES.map(({ name }) => name);
  assert.deepEqual(names, [...new Set(names)].toSorted());
  const programs = PACKAGES.flatMap((one) => one.programs);
  assert.equal(new Set(programs).size, programs.length);
  for (const { name, purposes } of PACKAGES) assert(purposes.length > 0, name);
});

Deno.test("packages: a program's is found, and one that nobody listed is a fault", () => {
  assert.equal(packageOf("iasl"), "acpica-tools");
  assert.throws(() => packageOf("no-such-program"), TypeError);
});

Deno.test("packages: those for a purpose, and the command that installs them", () => {
  assert(packagesFor("kernel build").includes("bison"));
  assert(!packagesFor("kernel build").includes("passt"));
  const command = installCommand(["bc"]);
  assert(command.includes("-y"), "it asks no questions");
  assert.equal(command.at(-1), "bc");
});

Deno.test("packages: no other source names one", () => {
  const programs = PACKAGES.flatMap((one) => one.programs);
  // Where a package has the name of a program, it is the program that is named.
  const names = [CLOUD_KERNEL, MEMTEST, ...PACKAGES.map(({ name }) => name)]
    .filter((name) => !programs.includes(name));
  const found: string[] = [];
  for (const path of sources(ROOT)) {
    if (/\/ffi\/packages(_test)?\.ts$/.test(path.pathname)) continue;
    const code = Deno.readTextFileSync(path).split("\n")
      .filter((line) => !/^\s*(\*|\/[/*]|#)/.test(line));
    for (const name of names) {
      const word = new RegExp(`(?<![\\w-])${RegExp.escape(name)}(?![\\w-])`);
      if (code.some((line) => word.test(line))) {
        found.push(`${path.pathname.slice(ROOT.pathname.length)}: ${name}`);
      }
    }
  }
  assert.deepEqual(found, []);
});

function* sources(folder: URL): Generator<URL> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (name === ".git" || name === "node_modules") continue;
    if (isDirectory) yield* sources(new URL(`${name}/`, folder));
    else if (/\.ts$/.test(name) || folder.pathname.includes("/.ci/")) {
      yield new URL(name, folder);
    }
  }
}
