/** What a configuration may say of a virtio console. */
import assert from "node:assert/strict";
import { descriptorsOfProcess } from "../../ffi/testing/mmap.ts";
import { bootArgs } from "../config/boot_args.ts";
import { CONSOLE, parseConsole } from "./console.ts";

async function openAndClose(ports: { name: string; path: string }[]) {
  using stack = new DisposableStack();
  return await CONSOLE.open({ main: false, ports }, stack, stack);
}

Deno.test("console: a socket that can't be made leaves nothing of the others", async () => {
  const dir = Deno.makeTempDirSync();
  await openAndClose([]); // loads what opens them
  const before = descriptorsOfProcess().size;
  const ports = [{ name: "a", path: `${dir}/a` }, { name: "b", path: dir }];
  await assert.rejects(openAndClose(ports), /port b .*exists already/);
  assert.deepEqual([...Deno.readDirSync(dir)], []);
  assert.equal(descriptorsOfProcess().size, before);
  Deno.removeSync(dir);
});

Deno.test("console: --console backend=MODULE is a main console on a module", () => {
  const module = import.meta.resolve("./console.ts"); // any file
  const path = new URL(module).pathname;
  assert.deepEqual(parseConsole(`backend=${path},level=3`, [], true), {
    main: true,
    backend: module,
    backend_options: { level: 3 },
    ports: [],
    agent: true,
  });
  assert.throws(() => parseConsole("backend=no-such.ts"), {
    message: "--console backend no-such.ts: no such file",
  });
});

Deno.test("console: as the main one it is in the default command line", () => {
  const source = { kernel_image_path: "vmlinux" };
  const words = (main: boolean) =>
    bootArgs({ "boot-source": source, console: { main } }).toString();
  assert.match(words(true), /^console=hvc0 reboot=k /);
  assert.match(words(false), /^console=ttyS0 reboot=k /);
});
