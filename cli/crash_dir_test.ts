/** `--crash-dir`: what is kept of guests that fail. */
import assert from "node:assert/strict";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { Machine } from "../vmm/machine.ts";
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
    events: JSON.parse(Deno.readTextFileSync(`${path}/events.json`)) as {
      cat: string;
      name: string;
      ts: number;
      args: { value: string };
    }[],
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
      const { path, files, state, console, events } = crashIn(folder);
      assert.equal(code, 1);
      assert.ok(
        stderr.includes(`vireo: the guest triple-faulted: see ${path}\n`),
      );
      assert.deepEqual(files, ["console", "core", "events.json", "state"]);
      assert.match(
        state,
        /^the guest triple-faulted\n20.*\nvireo boot .*\n\nRAM /,
      );
      assert.match(
        state,
        /^vCPU 0: .*\n {2}rax .*\n[^]*^ {2}r15 .* rip {4}0+10[0-9a-f]{4} /m,
      );
      assert.equal(console, "bye\n");
      // What it did last is there: "bye", and the fault.
      const exits = events.filter(({ cat }) => cat === "exit");
      assert.deepEqual(
        exits.map(({ name, args }) => [name, args.value]),
        [
          ...["62", "79", "65", "a"].map((at) => ["serial THR", `0x${at}`]),
          ["shutdown", undefined],
        ],
      );
      assert.ok(Deno.statSync(`${path}/core`).size > 16 << 20);
    }),
}));

Deno.test(needing([KVM], {
  name:
    "--crash-dir: a panic is kept once, of a guest that restarts and of one that goes on",
  async fn() {
    await withFolder(async (folder) => {
      const { code, stderr } = await ends(says(PANIC, RESET), folder);
      const { files, state, console, events } = crashIn(folder);
      assert.equal(code, 0, stderr);
      assert.deepEqual(files, ["console", "events.json", "state"]);
      assert.match(state, /^the kernel panicked\n/);
      assert.equal(console, PANIC);
      assert.ok(events.some(({ name }) => name === "i8042 command"));
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

/** Crashes of all kinds: the guest, and what its state says. */
const CRASHES: readonly [what: string, code: number[], why: RegExp][] = [
  ["a triple fault", UD2, /^the guest triple-faulted\n/],
  // Code where there is no memory: KVM's emulator can't fetch it.
  [
    "an INTERNAL_ERROR",
    [0xb8, 0x00, 0x00, 0x00, 0xd0, 0xff, 0xe0], // mov eax, 0xd000_0000; jmp rax
    /^vCPU 0: .*(KVM_EXIT_INTERNAL_ERROR|emulat)/i,
  ],
  ["a panic before a restart", RESET, /^the kernel panicked\n/],
];

for (const [what, code, why] of CRASHES) {
  Deno.test(needing([KVM], {
    name: `--crash-dir: ${what} leaves, if asked, a snapshot to look into`,
    fn: () =>
      withFolder(async (folder) => {
        const { stderr } = await ends(
          says(what.includes("panic") ? PANIC : "bye\n", code),
          folder,
          `${folder},snapshot`,
        );
        const { path, files, state } = crashIn(folder);
        const all = ["console", "events.json", "snapshot", "state"];
        assert.deepEqual(files, all, stderr);
        assert.match(state, why);
        const saved = `${path}/snapshot`;
        const inspected = await vireo(["snapshot", "inspect", saved]);
        assert.equal(inspected.code, 0, inspected.stderr);
        // It is where it was then, in a machine that doesn't go on.
        await using machine = await Machine.restore(saved);
        await machine.pause();
        machine.start();
        const rip = await machine.introspect(({ vcpus: [vcpu] }) =>
          vcpu!.registers.rip.toString(16)
        );
        assert.match(state, new RegExp(` rip +0*${rip} `));
      }),
  }));
}

Deno.test(needing([KVM], {
  name:
    "--crash-dir: a panic leaves a snapshot of a guest that goes on, and so does the guest",
  fn: () =>
    withFolder(async (folder) => {
      await using running = new Running({
        kernel: says(SAID + "goes on\n", LOOP),
        args: ["--crash-dir", `${folder},snapshot`],
      });
      await running.says(/^vireo: the kernel panicked: see /);
      await running.until(() => running.stdout.includes("goes on"), "more");
      const { path } = crashIn(folder);
      const { code, stderr } = await vireo([
        ...["snapshot", "verify", `${path}/snapshot`],
      ]);
      assert.equal(code, 0, stderr);
      await running.endBy("SIGTERM");
    }),
}));

Deno.test("--crash-dir: its words, and what is no folder", () => {
  const folder = Deno.makeTempDirSync();
  const nothing = { core: false, snapshot: false };
  assert.deepEqual(parseCrashDir(folder), { folder, ...nothing });
  assert.deepEqual(parseCrashDir(`${folder},core`), {
    ...{ folder, ...nothing },
    core: true,
  });
  assert.deepEqual(parseCrashDir(`${folder},snapshot`), {
    ...{ folder, ...nothing },
    snapshot: true,
  });
  assert.equal(parseCrashDir(), undefined);
  const refuses = (text: string, message: RegExp) =>
    assert.throws(() => parseCrashDir(text), { name: "VireoError", message });
  refuses(`${folder},cor`, /unknown word "cor"; did you mean "core"\?; DIR/);
  refuses(`${folder},core,snap`, /unknown word "snap"; DIR\[,core\]/);
  Deno.removeSync(folder);
  refuses(folder, /^--crash-dir .*: no such folder$/);
  refuses("/etc/passwd", /no such folder/);
  refuses("", /no such folder/);
});
