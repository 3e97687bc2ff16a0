import assert from "node:assert/strict";
import { missingPackagesMessage, parseDpkg } from "./packages.ts";

Deno.test("packages: only what is installed counts", () => {
  const text = "gcc installed 4:12.2.0-3\n" +
    "flex config-files 2.6.4-8.2\n" +
    "bison not-installed \n" +
    "\n";
  assert.deepEqual([...parseDpkg(text)], [["gcc", "4:12.2.0-3"]]);
});

Deno.test("packages: who is not root is told the one line to run", () => {
  assert.equal(
    missingPackagesMessage(["bc", "flex"]),
    "packages are missing; install them with: sudo apt-get install -y " +
      "--no-install-recommends bc flex",
  );
});
