/** `vireo prepare`: what stops it, and what it leaves behind. */
import assert from "node:assert/strict";
import { denoFolder } from "../../ffi/deno_folder.ts";
import { needing, root } from "../../ffi/testing/needs.ts";
import { KERNEL_SOURCE_FILE } from "../../ffi/packages.ts";
import { until } from "../../ffi/testing/until.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;

/** Programs that only seem to do what a build has them do. */
const FAKES: Readonly<Record<string, string>> = {
  "dpkg-query": `shift 3; for name; do echo "$name installed 1"; done`,
  tar: `while [ "$1" != -C ]; do shift; done; mkdir -p "$2/arch/x86/configs"`,
  patch: "exit 0",
  strip: `cp "$3" "$2"`,
  gcc: `while [ "$1" != -o ]; do shift; done; echo > "$2"`,
  mke2fs: `for name; do case $name in *.ext4) echo > "$name"; esac; done`,
  make: `for word; do case $word in O=*) out=\${word#O=}; esac; done
    case "$*" in *defconfig) exit;; esac
    echo one >> "$COUNT"; sleep 1; echo > "$out/vmlinux"`,
};

/** A home with a cache, and a folder of programs. */
class Surroundings implements Disposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  readonly cache = `${this.folder}/vireo`;
  readonly count = `${this.folder}/count`;

  constructor(programs: Readonly<Record<string, string>>) {
    Deno.mkdirSync(`${this.folder}/bin`);
    for (const [name, script] of Object.entries({ ...FAKES, ...programs })) {
      this.program(name, script);
    }
  }

  program(name: string, script: string): void {
    const path = `${this.folder}/bin/${name}`;
    Deno.writeTextFileSync(path, `#!/bin/sh\n${script}\n`);
    Deno.chmodSync(path, 0o755);
  }

  /** Starts `vireo prepare`, by a command that may be given. */
  start(...before: string[]): Deno.ChildProcess {
    const [program, ...args] = [
      ...before,
      ...[Deno.execPath(), "run", "-A", "--no-check", MAIN, "prepare"],
    ];
    return new Deno.Command(program!, {
      args,
      env: {
        XDG_CACHE_HOME: this.folder,
        DENO_DIR: denoFolder(), // by default it is in the same folder
        PATH: `${this.folder}/bin:${Deno.env.get("PATH")}`,
        COUNT: this.count,
        NO_COLOR: "1",
      },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  }

  /** The names in the cache's folder. */
  left(): string[] {
    return Array.from(Deno.readDirSync(this.cache), ({ name }) => name).sort();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }
}

/** Exit status 1, and the error in one line at the end of what it says. */
async function refuses(
  child: Deno.ChildProcess,
  message: RegExp,
): Promise<void> {
  const { code, stdout, stderr } = await child.output();
  const text = new TextDecoder().decode(stderr);
  const lines = text.trimEnd().split("\n");
  assert.match(lines.at(-1) ?? "", message, text);
  assert.equal(lines.filter((line) => line.startsWith("vireo: ")).length, 1);
  assert.equal(code, 1);
  assert.equal(stdout.length, 0);
}

async function untilLogged(at: Surroundings, text: string): Promise<void> {
  let log = "";
  const logged = async () => {
    log = await Deno.readTextFile(`${at.cache}/prepare.log`).catch(() => "");
    return log.includes(text);
  };
  await until(logged, `"${text}" in the log`, () => log);
}

Deno.test(needing([root("installs packages")], {
  name: "prepare: without a network it says so in one line, and makes nothing",
  async fn() {
    using at = new Surroundings({
      "dpkg-query": "exit 1",
      "dpkg": "exit 0",
      "apt-get": `echo "E: Failed to fetch http://deb.debian.org/x.deb  ` +
        `Temporary failure resolving 'deb.debian.org'"; exit 100`,
    });
    await refuses(
      at.start(),
      /^vireo: apt-get can't fetch packages; is there a network\? It says: E: /,
    );
    assert.deepEqual(at.left(), ["lock", "prepare.log"]);
    // Versions come from lists: old ones have an older kernel source.
    const log = Deno.readTextFileSync(`${at.cache}/prepare.log`);
    assert.match(log, /^\$ apt-get update$[^]*^\$ apt-get .* install /m);
  },
}));

Deno.test(needing([root("mounts a disk"), "unshare"], {
  name: "prepare: on a disk without room it begins nothing",
  async fn() {
    using at = new Surroundings({});
    const mounted = `mkdir -p ${at.folder}/vireo && ` +
      `mount -t tmpfs -o size=1m none ${at.folder}/vireo && "$@"; ` +
      `code=$?; ls ${at.folder}/vireo > ${at.folder}/left; exit $code`;
    const inside = ["unshare", "-m", "sh", "-c", mounted, "sh"];
    await refuses(
      at.start(...inside),
      /^vireo: \/\S+\/vireo: [01] MiB are free on its disk, and 640 MiB /,
    );
    assert.equal(Deno.readTextFileSync(`${at.folder}/left`), "lock\n");
  },
}));

Deno.test(needing([root("mounts a disk"), "unshare"], {
  name: "prepare: a cache that can't be written is named",
  async fn() {
    using at = new Surroundings({});
    const mounted = `mount -t tmpfs none /mnt && mkdir /mnt/bin && ` +
      `mount -o remount,ro /mnt && XDG_CACHE_HOME=/mnt exec "$@"`;
    await refuses(
      at.start("unshare", "-m", "sh", "-c", mounted, "sh"),
      /^vireo: \/mnt\/vireo can't be written: EROFS; with XDG_CACHE_HOME /,
    );
  },
}));

Deno.test(needing([KERNEL_SOURCE_FILE, "busybox"], {
  name: "prepare: after an interruption it starts cleanly",
  async fn() {
    for (const signal of ["SIGINT", "SIGTERM", "SIGKILL"] as const) {
      using at = new Surroundings({
        tar: `echo half > "$TMPDIR/half"; exec sleep 60`,
      });
      const killed = at.start();
      await untilLogged(at, "$ tar");
      killed.kill(signal);
      assert.equal((await killed.output()).signal, signal);
      assert(at.left().includes("build"), "it had no time to clean up");
      at.program("tar", FAKES.tar!);
      const { success, stderr } = await at.start().output();
      assert(success, new TextDecoder().decode(stderr));
      assert(!at.left().includes("build"));
      assert.equal(
        at.left().filter((name) => /^vmlinux-\w+$/.test(name)).length,
        1,
      );
    }
  },
}));

Deno.test(needing([KERNEL_SOURCE_FILE, "busybox"], {
  name: "prepare: two that start at once build once",
  async fn() {
    using at = new Surroundings({});
    const both = await Promise.all([at.start().output(), at.start().output()]);
    for (const { success, stderr } of both) {
      assert(success, new TextDecoder().decode(stderr));
    }
    const [one, other] = both.map(({ stdout }) =>
      new TextDecoder().decode(stdout)
    );
    assert.equal(one, other, "both have the same paths");
    assert.equal(Deno.readTextFileSync(at.count), "one\n");
  },
}));
