/** What signals do to a running machine, and to the terminal it is on. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { Pty } from "../../ffi/testing/pty.ts";
import { until } from "../../ffi/testing/until.ts";
import { ECHOES, HI } from "../../vmm/testing/tiny_guest.ts";
import { Running } from "../../vmm/testing/running.ts";

/** Each of them ends a process that says nothing of it. */
const ENDING = [
  ...["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"] as const,
  ...["SIGUSR2", "SIGALRM", "SIGXCPU"] as const,
];
const NO_CORE = "ulimit -c 0";

function exists(path: string): boolean {
  try {
    return Deno.lstatSync(path).isSocket === true;
  } catch {
    return false;
  }
}

/** A machine with a socket, which has to be gone at the end. */
function withSocket(before: string): { running: Running; socket: string } {
  const folder = Deno.makeTempDirSync();
  const socket = `${folder}/vsock`;
  const args = ["--vsock", `cid=3,uds=${socket}`];
  const running = new Running({ kernel: HI, args, before }, folder);
  return { running, socket };
}

Deno.test(needing([KVM], {
  name: "signals: each ends a machine in order, and then the process by itself",
  async fn() {
    await Promise.all(ENDING.map(async (signal) => {
      const { running, socket } = withSocket(NO_CORE);
      await using _ended = running;
      await running.hi();
      assert.ok(exists(socket));
      await running.endBy(signal);
      assert.ok(!exists(socket), signal);
      assert.deepEqual(running.lines, []);
    }));
  },
}));

Deno.test(needing([KVM], {
  name:
    "signals: as soon as there is anything to leave behind, nothing is left",
  async fn() {
    for (const signal of ["SIGTERM", "SIGHUP", "SIGQUIT"] as const) {
      const { running, socket } = withSocket(NO_CORE);
      await using _ended = running;
      while (!exists(socket)) {
        assert.ok(running.alive, running.lines.join("\n"));
        await new Promise((done) => setTimeout(done));
      }
      await running.endBy(signal);
      assert.ok(!exists(socket), signal);
    }
  },
}));

/** The signals of a mask of /proc/PID/status. */
function mask(
  pid: number,
  name: "SigIgn" | "SigCgt",
): (bit: number) => boolean {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  const [, hex] = new RegExp(`^${name}:\\s+(\\w+)$`, "m").exec(status)!;
  return (number) => (BigInt(`0x${hex}`) >> BigInt(number - 1) & 1n) === 1n;
}

Deno.test(needing([KVM], {
  name:
    "signals: what was ignored at the start stays ignored, as nohup wants it",
  async fn() {
    const before = 'trap "" HUP INT QUIT';
    await using running = new Running({ kernel: HI, before });
    await running.hi();
    // Deno sets handlers of its own in this time, and its debugger's.
    for (let i = 0; i < 20; i++) {
      for (const signal of ["SIGHUP", "SIGINT", "SIGQUIT"] as const) {
        running.child.kill(signal);
      }
      await new Promise((done) => setTimeout(done, 50));
    }
    assert.ok(running.alive, running.lines.join("\n"));
    const [USR1, XFSZ] = [10, 25];
    const ignored = () => {
      const ignores = mask(running.child.pid, "SigIgn");
      return [USR1, XFSZ].every(ignores);
    };
    await running.until(ignored, "SIGUSR1 and SIGXFSZ to be ignored");
    await running.endBy("SIGTERM");
    assert.deepEqual(running.lines, []);
  },
}));

Deno.test(needing([KVM, "setsid"], {
  name: "signals: the end of the terminal ends the machine in order",
  async fn() {
    using pty = new Pty();
    const folder = Deno.makeTempDirSync();
    const socket = `${folder}/vsock`;
    await using running = new Running({
      kernel: HI,
      through: ["setsid", "--wait"],
      args: ["--vsock", `cid=3,uds=${socket}`],
      redirect: `<${pty.path} >${pty.path}`,
    }, folder);
    await pty.shows("hi");
    assert.ok(exists(socket));
    pty.hangUp();
    await running.end();
    assert.ok(!exists(socket));
  },
}));

Deno.test(needing([KVM, "setsid"], {
  name:
    "signals: a stop gives the terminal back, going on takes it again; in the background it runs on",
  async fn() {
    using pty = new Pty();
    // An interactive shell: what it runs has a group of its own.
    const { path } = pty;
    await using running = new Running({
      kernel: ECHOES,
      through: ["setsid", "--wait"],
      before: `set -- sh -m -c '
        "$@"; echo stopped; read -r line; fg; echo status=$?
        read -r line; "$@" & read -r line; kill %%; wait; echo ended
      ' sh "$@"`,
      redirect: `<${path} >${path} 2>&1`,
    });
    await pty.shows("hi");
    assert.ok(pty.raw);
    pty.type("typed");
    await pty.shows("typed");
    const vireo = () => childOf(running.folder);
    Deno.kill(vireo(), "SIGTSTP");
    await pty.shows("stopped");
    assert.equal(pty.raw, false);
    pty.type("\n");
    await until(() => pty.raw, "raw terminal", () => pty.shown);
    pty.type("again");
    await pty.shows("again");
    Deno.kill(vireo(), "SIGTERM");
    await pty.shows("status=143");
    assert.equal(pty.raw, false);
    // In the background, but not before "hi" is another one.
    pty.shown = "";
    pty.type("\n");
    await pty.shows("hi");
    pty.type("\n");
    await pty.shows("ended");
    assert.equal(pty.raw, false);
    await running.end();
  },
}));

/** The process whose kernel is in a folder. */
function childOf(folder: string): number {
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const words = Deno.readTextFileSync(`/proc/${name}/cmdline`).split("\0");
      const deno = words[0] === Deno.execPath();
      if (deno && words.includes(`${folder}/kernel`)) return Number(name);
    } catch {
      // It has ended.
    }
  }
  throw new Error(`nothing runs ${folder}/kernel`);
}
