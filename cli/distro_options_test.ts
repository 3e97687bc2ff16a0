/** `--distro`: what it refuses, before anything is fetched. */
import assert from "node:assert/strict";
import { VireoError } from "../ffi/error.ts";
import { checkDistro } from "./distro.ts";

Deno.test("--distro: one that is not known, and a second kernel, get a line", () => {
  const refuses = (choice: Parameters<typeof checkDistro>[0], text: RegExp) =>
    assert.throws(() => checkDistro(choice), (error: unknown) => {
      assert.ok(error instanceof VireoError);
      assert.match(error.message, text);
      return true;
    });
  refuses({ distro: "suse" }, /^--distro suse: only "debian" is known$/);
  const distro = "debian";
  refuses({ distro, kernel: "vmlinux" }, /leave out a kernel$/);
  refuses({ distro, initrd: "initrd" }, /leave out --initrd$/);
  checkDistro({ distro });
});
