import assert from "node:assert/strict";
import { VireoError } from "../../ffi/errno.ts";
import { ensureRoom, explainFailure } from "./failure.ts";
import { CommandError } from "./logged_command.ts";

/** The message for an error, which is one line. */
function told(error: unknown): string {
  const explained = explainFailure(error, "/c");
  assert(explained instanceof VireoError);
  assert(!explained.message.includes("\n"), explained.message);
  return explained.message;
}

const withCode = (code: string) => Object.assign(new Error("no"), { code });

Deno.test("failure: a full disk is named, whoever ran into it", () => {
  const lines = [
    "tar: a/b.c: Cannot write: No space left on device",
    ...Array(20).fill("tar: Exiting with failure status"),
  ];
  const expected = "/c: no room is left on its disk; with XDG_CACHE_HOME it " +
    "can be another folder";
  assert.equal(told(new CommandError("tar", "/log", lines)), expected);
  assert.equal(told(withCode("ENOSPC")), expected);
  assert.equal(told(withCode("EDQUOT")), expected);
});

Deno.test("failure: a folder that can't be written is named, with the way round", () => {
  for (const code of ["EROFS", "EACCES", "EPERM"]) {
    assert.equal(
      told(withCode(code)),
      `/c can't be written: ${code}; with XDG_CACHE_HOME it can be another folder`,
    );
  }
});

Deno.test("failure: apt-get without a network gets a line, and is quoted", () => {
  const line = "W: Failed to fetch http://deb.debian.org/debian/x  Temporary " +
    "failure resolving 'deb.debian.org'";
  const lines = ["Reading package lists...", `  ${line}`, "E: no"];
  assert.equal(
    told(new CommandError("apt-get", "/log", lines)),
    "apt-get can't fetch packages; is there a network? It says: " + line +
      " (all of its output is in /log)",
  );
});

Deno.test("failure: nor are there packages without lists of them", () => {
  const line = "E: Unable to locate package bc";
  const message = told(new CommandError("apt-get", "/log", [line]));
  assert.match(message, /is there a network\? It says: E: Unable to locate /);
});

Deno.test("failure: what is the build's own fault stays as it is", () => {
  const errors = [
    new CommandError("make", "/log", ["error: no"]),
    new CommandError("make", "/log", ["Failed to fetch a coffee"]),
    new VireoError("no"),
    new TypeError("no"),
    withCode("ENOENT"),
  ];
  for (const error of errors) {
    assert.equal(explainFailure(error, "/c"), error);
  }
});

Deno.test("failure: room is asked for before it is needed", async () => {
  await ensureRoom("/tmp", 1);
  await assert.rejects(
    ensureRoom("/tmp", 2 ** 60),
    { message: /^\/tmp: \d+ MiB are free on its disk, and 1099511627776 MiB / },
  );
});
