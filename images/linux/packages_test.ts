import assert from "node:assert/strict";
import {
  aptPart,
  missingPackages,
  missingPackagesMessage,
  parseDpkg,
} from "./packages.ts";

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

Deno.test("packages: one that is missing is an error for who may not install", async () => {
  const names = ["no-such-package-of-debian"];
  assert.deepEqual(await missingPackages(names, true), names);
  await assert.rejects(missingPackages(names, false), {
    message: missingPackagesMessage(names),
  });
  assert.deepEqual(await missingPackages([], false), []);
});

Deno.test("packages: an installation is fetched, then set up", () => {
  assert.equal(aptPart("dlstatus:1:0.0000:Retrieving file 1 of 56"), 0);
  assert.equal(aptPart("dlstatus:56:100:Retrieving file 56 of 56"), 0.5);
  assert.equal(aptPart("pmstatus:gcc:50.0000:Installing gcc (amd64)"), 0.75);
  assert.equal(aptPart("pmstatus:dpkg-exec:100:Running dpkg"), 1);
  assert.equal(aptPart("Get:1 http://deb.debian.org bc 3 [110 kB]"), undefined);
});
