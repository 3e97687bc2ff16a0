/** `bin/vireo`: how it finds Deno, and itself. */
import assert from "node:assert/strict";
import { denoFolder } from "../ffi/deno_folder.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const VERSION = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.json`)).version;
const VERSIONS = new RegExp(
  `^vireo ${VERSION.replaceAll(".", "\\.")}\\n` +
    `deno ${Deno.version.deno.replaceAll(".", "\\.")} \\(V8 \\S+\\)\\n` +
    "linux \\S+ \\(x86_64\\)\\n$",
);

const PROGRAMS = [
  ...["readlink", "head", "mkdir", "ln", "sh", "stat", "cat", "mv"],
];

/** A folder with a PATH of its own: what a shell has, and nothing more. */
class Host implements Disposable {
  readonly dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  readonly bin = `${this.dir}/bin`;

  constructor() {
    Deno.mkdirSync(this.bin);
    for (const name of PROGRAMS) {
      const { stdout } = new Deno.Command("sh", {
        args: ["-c", `command -v ${name}`],
      }).outputSync();
      const path = new TextDecoder().decode(stdout).trim();
      Deno.symlinkSync(path, `${this.bin}/${name}`);
    }
  }

  /** Puts a program there. */
  has(name: string, script: string): void {
    const path = `${this.bin}/${name}`;
    Deno.writeTextFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }

  /** A npx that has the wanted Deno, and keeps a list of its calls. */
  hasNpx(): void {
    const deno = Deno.execPath();
    this.has(
      "npx",
      `[ -z "\${npm_config_package-}\${npm_config_call-}" ] || exit 1
      echo "$*" >>${this.dir}/npx; shift 2; exec ${deno} "$@"`,
    );
  }

  /** How often npx has been called, each time for the right Deno. */
  get npxCalls(): number {
    const calls = Deno.readTextFileSync(`${this.dir}/npx`).trim().split("\n");
    for (const call of calls) assert.match(call, /^-y deno@2\.9\.6 eval /);
    return calls.length;
  }

  async run(
    command = `${ROOT}bin/vireo`,
    args = ["--version"],
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    const { code, stdout, stderr } = await new Deno.Command(command, {
      args,
      cwd: this.dir,
      clearEnv: true,
      env: {
        PATH: this.bin,
        HOME: this.dir,
        XDG_CACHE_HOME: `${this.dir}/cache`,
        DENO_DIR: denoFolder(),
        // As within "npx -p ./vireo.tgz -c vireo".
        npm_config_package: "./vireo.tgz",
        npm_config_call: "vireo",
      },
      stdin: "null",
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, stdout: text(stdout), stderr: text(stderr) };
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.dir, { recursive: true });
  }
}

Deno.test("bin/vireo: with Deno on PATH, from any folder and through links", async () => {
  using host = new Host();
  Deno.symlinkSync(Deno.execPath(), `${host.bin}/deno`);
  host.has("npx", "exit 9");
  // The folder's own files are not for Vireo.
  Deno.writeTextFileSync(`${host.dir}/deno.json`, "not JSON");
  Deno.writeTextFileSync(`${host.dir}/package.json`, "not JSON");
  Deno.mkdirSync(`${host.dir}/a b`);
  Deno.symlinkSync(`${ROOT}bin/vireo`, `${host.dir}/a b/first`);
  Deno.symlinkSync("../a b/first", `${host.bin}/second`);
  for (
    const command of [
      `${ROOT}bin/vireo`,
      `${host.dir}/a b/first`,
      `${host.bin}/second`,
      "./bin/second",
    ]
  ) {
    const { code, stdout, stderr } = await host.run(command);
    assert.equal(stderr, "", command);
    assert.match(stdout, VERSIONS);
    assert.equal(code, 0);
  }
  const refused = await host.run(undefined, ["boot", "--cpus", "a b"]);
  assert.equal(refused.stderr, "vireo: --cpus a b: not a whole number\n");
  assert.equal(refused.code, 1);
});

Deno.test("bin/vireo: another Deno on PATH, or none: npx is asked once", async () => {
  for (const version of ["1.46.3", "2.8.9", "2.10.0", "2.90.1", undefined]) {
    using host = new Host();
    if (version) host.has("deno", `echo "deno ${version} (stable)"`);
    host.hasNpx();
    for (const _ of ["the first time", "the next"]) {
      const { stdout, stderr } = await host.run();
      assert.match(stdout, VERSIONS, stderr);
      assert.equal(stderr, "");
      assert.equal(host.npxCalls, 1, version);
    }
    // npm has cleaned up.
    const [kept] = Deno.readDirSync(`${host.dir}/cache/vireo`).toArray();
    const link = `${host.dir}/cache/vireo/${kept!.name}`;
    assert.ok(kept!.isSymlink);
    Deno.removeSync(link);
    Deno.symlinkSync("/nowhere/deno", link);
    assert.match((await host.run()).stdout, VERSIONS);
    assert.equal(host.npxCalls, 2, version);
  }
});

Deno.test("bin/vireo: a Deno on PATH is asked for its version once, and when it is another", async () => {
  using host = new Host();
  const asked = (version: string) =>
    host.has(
      "deno",
      `[ "$*" != --version ] || { echo >>${host.dir}/asked
        echo "deno ${version} (stable)"; exit; }
      [ "$1" != eval ] || { echo ${host.bin}/deno; exit; }
      exec ${Deno.execPath()} "$@"`,
    );
  const times = () => Deno.readTextFileSync(`${host.dir}/asked`).length;
  const right = async (message: string) => {
    const { stdout, stderr } = await host.run();
    assert.match(stdout, VERSIONS, `${message}: ${stderr}`);
  };
  host.hasNpx();
  asked("2.9.6");
  await right("the first time");
  await right("the next");
  assert.equal(times(), 1);
  const known = `${host.dir}/cache/vireo/deno-on-path`;
  for (const damaged of ["", "x", "/bin/false\n", `${host.bin}/deno\n`]) {
    Deno.writeTextFileSync(known, damaged);
    const before = times();
    await right(`damaged: ${damaged}`);
    assert.equal(times(), before + 1);
  }
  asked("2.8.90"); // of another length
  await right("another Deno");
  assert.equal(host.npxCalls, 1);
});

Deno.test("bin/vireo: Deno compiles at once what it keeps, and asks nobody for a newer one", async () => {
  using host = new Host();
  host.has(
    "deno",
    `[ "$*" != --version ] || { echo "deno 2.9.6 (stable)"; exit; }
    [ "$1" != eval ] || { echo ${host.bin}/deno; exit; }
    echo "$DENO_NO_UPDATE_CHECK $*"`,
  );
  const { stdout, stderr } = await host.run(undefined, ["ps", "a b"]);
  const started = `1 run --quiet -A --v8-flags=--no-lazy ` +
    `--config ${ROOT}deno.json ${ROOT}main.ts ps a b\n`;
  assert.equal(stdout, started, stderr);
});

Deno.test("bin/vireo: npm's script of a Deno is not run, but its program", async () => {
  using host = new Host();
  // As npm's: the program is a child that a signal doesn't reach.
  host.has("deno", `${Deno.execPath()} "$@"`);
  const child = new Deno.Command(`${ROOT}bin/vireo`, {
    args: ["switch", `${host.dir}/switch`], // until a signal comes
    clearEnv: true,
    env: { PATH: host.bin, HOME: host.dir, DENO_DIR: denoFolder() },
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const said = child.stdout.getReader();
  const { value } = await said.read();
  assert.match(new TextDecoder().decode(value), /^--net switch=/);
  // The process that was started has become the one that runs main.ts.
  const proc = `/proc/${child.pid}`;
  assert.match(Deno.readTextFileSync(`${proc}/cmdline`), /\/main\.ts/);
  const exe = Deno.readLinkSync(`${proc}/exe`);
  assert.equal(exe, Deno.realPathSync(Deno.execPath()));
  child.kill("SIGTERM");
  while (!(await said.read()).done);
  assert.equal((await child.status).signal, "SIGTERM");
});

Deno.test("bin/vireo: without Deno and npx, or a network for it, it says so", async () => {
  using host = new Host();
  const without = await host.run();
  assert.equal(
    without.stderr,
    "vireo: Deno 2.9 is not on PATH, nor is npx, which would bring it: " +
      "install Deno or Node\n",
  );
  assert.deepEqual([without.code, without.stdout], [1, ""]);
  host.has("npx", "echo npm error network >&2; exit 1");
  const offline = await host.run();
  assert.equal(
    offline.stderr,
    "npm error network\n" +
      "vireo: Deno 2.9 is not on PATH, npx could not bring deno@2.9.6\n",
  );
  assert.equal(offline.code, 1);
});

Deno.test("bin/vireo: where its Deno can't be remembered, npx is asked again", async () => {
  using host = new Host();
  host.hasNpx();
  Deno.writeTextFileSync(`${host.dir}/cache`, "a file");
  for (const calls of [1, 2]) {
    const { stdout, stderr } = await host.run();
    assert.match(stdout, VERSIONS, stderr);
    assert.equal(stderr, "");
    assert.equal(host.npxCalls, calls);
  }
});

Deno.test("bin/vireo: a working directory that is gone, and too few descriptors, get one line", async () => {
  using host = new Host();
  Deno.symlinkSync(Deno.execPath(), `${host.bin}/deno`);
  host.has("npx", "exit 9");
  const vireo = `${ROOT}bin/vireo`;
  const refused = async (script: string, line: RegExp) => {
    host.has("try", script);
    const { code, stdout, stderr } = await host.run(`${host.bin}/try`);
    assert.match(stderr, line);
    assert.deepEqual([code, stdout], [1, ""]);
  };
  Deno.mkdirSync(`${host.dir}/gone`);
  Deno.symlinkSync("/bin/rmdir", `${host.bin}/rmdir`);
  await refused(
    `cd ${host.dir}/gone; rmdir ${host.dir}/gone; exec ${vireo} boot`,
    // dash has a line of its own before.
    /^(sh: .*\n)?vireo: the working directory is gone: cd to one that is there\n$/,
  );
  for (const limit of [16, 20, 40]) {
    await refused(
      `ulimit -n ${limit}; exec ${vireo} boot`,
      /^vireo: \d+ descriptors are allowed, which is too few: ulimit -n 64\n$/,
    );
  }
});
