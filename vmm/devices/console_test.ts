/** What a configuration may say of a virtio console. */
import assert from "node:assert/strict";
import { descriptorsOfProcess } from "../../ffi/testing/mmap.ts";
import { VireoError } from "../../ffi/error.ts";
import { bootArgs } from "../config/values.ts";
import { openConsole } from "./console.ts";

function openAndClose(ports: { name: string; path: string }[], main = false) {
  using stack = new DisposableStack();
  return openConsole({ main, ports }, stack);
}

Deno.test("console: names that can't be, twice the same, too many, get one line", () => {
  const path = "/nonexistent/socket";
  const cases: [names: string[], message: string][] = [
    [[""], 'port "": a name has 1 to 64 bytes, and no slash'],
    [["a/b"], 'port "a/b": a name has 1 to 64 bytes, and no slash'],
    [["a", "a"], 'port "a": there are two of that name'],
    [Array(14).fill("x"), "console: 14 ports; at most 13 fit"],
  ];
  for (const [names, message] of cases) {
    const ports = names.map((name) => ({ name, path }));
    assert.throws(() => openAndClose(ports, true), new VireoError(message));
  }
});

Deno.test("console: a socket that can't be made leaves nothing of the others", () => {
  const dir = Deno.makeTempDirSync();
  const before = descriptorsOfProcess().size;
  const ports = [{ name: "a", path: `${dir}/a` }, { name: "b", path: dir }];
  assert.throws(() => openAndClose(ports), /port b .*exists already/);
  assert.deepEqual([...Deno.readDirSync(dir)], []);
  assert.equal(descriptorsOfProcess().size, before);
  Deno.removeSync(dir);
});

Deno.test("console: as the main one it is in the default command line", () => {
  const source = { kernel_image_path: "vmlinux" };
  const words = (main: boolean) =>
    bootArgs({ "boot-source": source, console: { main } }).toString();
  assert.match(words(true), /^console=hvc0 reboot=k /);
  assert.match(words(false), /^console=ttyS0 reboot=k /);
});
