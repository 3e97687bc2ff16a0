/** `--crash-dir`: what is kept of guests that fail. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { vireo } from "../vmm/testing/command.ts";
import { Running } from "../vmm/testing/running.ts";
import { says } from "../vmm/testing/tiny_guest.ts";
import { parseCrashDir } from "./crash_dir.ts";

const LOOP = [0xeb, 0xfe]; // jmp to itself
const UD2 = [0x0f, 0x0b]; // without an IDT, a triple fault
const RESET = [0xb0, 0xfe, 0xe6, 0x64, 0xf4]; // by the keyboard controller
const PANIC = "Oops\nKernel panic - not syncing: x\n";
const SAID = `${PANIC}---[ end Kernel panic - not syncing: x ]---\n`;

/** The only crash in `folder`: its files' names, its state and its console. */
function crashIn(folder: string) {
  const [name, ...more] = Deno.readDirSync(folder).map(({ name }) => name);
  assert.ok(name && more.length === 0, `${name} ${more}`);
  const path = `${folder}/${name}`;
  assert.equal(Deno.statSync(path).mode! & 0o777, 0o700);
  return {
    path,
    files: Deno.readDirSync(path).map(({ name }) => name).toArray().sort(),
    state: Deno.readTextFileSync(`${path}/state`),
    console: Deno.readTextFileSync(`${path}/console`),
  };
}

async function withFolder(body: (folder: string) => Promise<void>) {
  const folder = Deno.makeTempDirSync();
  try {
    await body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Boots such a guest to its end. */
async function ends(kernel: Uint8Array, folder: string, place = folder) {
  const path = `${folder}.elf`;
  Deno.writeFileSync(path, kernel);
  try {
    return await vireo(["boot", path, "--memory=16M", "--crash-dir", place]);
  } finally {
    Deno.removeSync(path);
  }
}

Deno.test(needing([KVM], {
  name:
    "--crash-dir: a triple fault leaves registers, the console, and a core if asked",
  fn: () =>
    withFolder(async (folder) => {
      const { code, stderr } = await ends(
        says("bye\n", UD2),
        folder,
        `${folder},core`,
      );
      const { path, files, state, console } = crashIn(folder);
      assert.equal(code, 1);
      assert.ok(
        stderr.includes(`vireo: the guest triple-faulted: see ${path}\n`),
      );
      assert.deepEqual(files, ["console", "core", "state"]);
      assert.match(
        state,
        /^the guest triple-faulted\n20.*\nvireo boot .*\n\nRAM /,
      );
      assert.match(
        state,
        /^vCPU 0: .*\n {2}rax .*\n[^]*^ {2}r15 .* rip {4}0+10[0-9a-f]{4} /m,
      );
      assert.equal(console, "bye\n");
      assert.ok(Deno.statSync(`${path}/core`).size > 16 << 20);
    }),
}));

Deno.test(needing([KVM], {
  name:
    "--crash-dir: a panic is kept once, of a guest that restarts and of one that goes on",
  async fn() {
    await withFolder(async (folder) => {
      const { code, stderr } = await ends(says(PANIC, RESET), folder);
      const { files, state, console } = crashIn(folder);
      assert.equal(code, 0, stderr);
      assert.deepEqual(files, ["console", "state"]);
      assert.match(state, /^the kernel panicked\n/);
      assert.equal(console, PANIC);
    });
    await withFolder(async (folder) => {
      await using running = new Running({
        kernel: says(SAID + SAID + "goes on\n", LOOP),
        args: ["--crash-dir", folder],
      });
      await running.says(/^vireo: the kernel panicked: see /);
      await running.until(() => running.stdout.includes("goes on"), "more");
      assert.ok(crashIn(folder).console.startsWith(SAID));
      await running.endBy("SIGTERM");
      crashIn(folder);
      assert.equal(running.lines.length, 1);
    });
  },
}));

Deno.test(needing([KVM], {
  name:
    "--crash-dir: a guest that ends well leaves nothing; a folder that can't be written gets a line",
  async fn() {
    await withFolder(async (folder) => {
      const { code } = await ends(says("bye\n", RESET), folder);
      assert.equal(code, 0);
      assert.deepEqual([...Deno.readDirSync(folder)], []);
      const { stderr } = await ends(
        says("x", UD2),
        folder.replace(/.*/, "/proc"),
      );
      assert.match(stderr, /^vireo: --crash-dir: .* mkdir '\/proc\/20/m);
      assert.match(stderr, /the guest triple-faulted$/m);
    });
  },
}));

Deno.test("--crash-dir: its words, and what is no folder", () => {
  const folder = Deno.makeTempDirSync();
  assert.deepEqual(parseCrashDir(folder), { folder, core: false });
  assert.deepEqual(parseCrashDir(`${folder},core`), { folder, core: true });
  assert.equal(parseCrashDir(), undefined);
  const refuses = (text: string, message: RegExp) =>
    assert.throws(() => parseCrashDir(text), { name: "VireoError", message });
  refuses(`${folder},cor`, /unknown word "cor"; did you mean "core"\?; DIR/);
  Deno.removeSync(folder);
  refuses(folder, /^--crash-dir .*: no such folder$/);
  refuses("/etc/passwd", /no such folder/);
  refuses("", /no such folder/);
});
