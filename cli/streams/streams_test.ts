/** Standard streams of every kind: none of them stops or ends a machine. */
import assert from "node:assert/strict";
import { closeFd } from "../../ffi/file.ts";
import { libc } from "../../ffi/libc.ts";
import { Fifo, FIFO_SIZE } from "../../ffi/testing/fifo.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { Pty } from "../../ffi/testing/pty.ts";
import { MAIN, vireo } from "../../vmm/testing/command.ts";
import { COUNTS, ECHOES, HI } from "../../vmm/testing/tiny_guest.ts";
import { Running } from "../../vmm/testing/running.ts";

const LOST = /^vireo: standard output: .*; what the guest prints is lost$/;

/** What a test of a guest that prints for ever has to say of its output. */
interface Step {
  redirect: string;
  /** From here on, output has nowhere to go. */
  stuck(running: Running): Promise<void>;
  /** What is said of it. */
  says?: RegExp;
}

/** Output is stuck, and yet a signal ends the machine at once. */
async function endsInSpiteOf({ redirect, stuck, says }: Step): Promise<void> {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    await using running = new Running({ kernel: COUNTS, redirect });
    await stuck(running);
    await running.endBy(signal);
    const { lines } = running;
    assert.equal(lines.length, says ? 1 : 0, lines.join("\n"));
    if (says) assert.match(lines[0]!, says);
  }
}

Deno.test(needing([KVM], {
  name: "output that nobody takes stops neither SIGTERM, SIGINT nor Ctrl-A x",
  async fn(t) {
    await t.step("a pipe that nobody reads", async () => {
      using fifo = new Fifo();
      await endsInSpiteOf({
        redirect: `>${fifo.path}`,
        async stuck() {
          fifo.read(); // of the one before
          await fifo.stuck();
        },
      });
    });
    await t.step("a pipe that nobody reads, for standard error", async () => {
      using fifo = new Fifo();
      const filler = Deno.openSync(fifo.path, { write: true });
      filler.writeSync(new Uint8Array(FIFO_SIZE));
      const redirect = `2>${fifo.path}`;
      await using running = new Running({ kernel: HI, redirect });
      await running.hi();
      await running.endBy("SIGTERM");
      filler.close();
    });
    await t.step("a terminal that nobody reads: SIGTERM", async () => {
      using pty = new Pty();
      const redirect = `<${pty.path} >${pty.path}`;
      await using running = new Running({ kernel: COUNTS, redirect });
      await running.until(() => pty.raw, "raw terminal");
      await running.endBy("SIGTERM");
      assert.equal(pty.raw, false);
    });
    await t.step("a terminal that nobody reads: Ctrl-A x", async () => {
      using pty = new Pty();
      const redirect = `<${pty.path} >${pty.path}`;
      await using running = new Running({ kernel: COUNTS, redirect });
      await running.until(() => pty.raw, "raw terminal");
      // Keys that the guest doesn't take are in its way, too.
      for (let i = 0; i < 100; i++) {
        pty.type("x".repeat(3000));
        await new Promise((done) => setTimeout(done));
      }
      const typed = setInterval(() => pty.type("\x01x"), 20);
      assert.equal((await running.end()).code, 0);
      clearInterval(typed);
      assert.equal(pty.raw, false);
    });
  },
}));

Deno.test(needing([KVM], {
  name:
    "output that can't be written is lost, is told once, and ends no machine",
  async fn(t) {
    await t.step("a full device", () =>
      endsInSpiteOf({
        redirect: ">/dev/full",
        stuck: (running) => running.says(LOST),
        says: /ENOSPC \(No space left on device\)/,
      }));
    await t.step("a limit of a file's size", async () => {
      const limit = 64 << 20; // more than Deno's own files have
      const path = Deno.makeTempFileSync();
      Deno.truncateSync(path, limit - 100);
      await using running = new Running({
        kernel: COUNTS,
        before: `ulimit -c 0; ulimit -f ${limit / 512}`,
        redirect: `>>${path}`,
      });
      await running.says(LOST);
      assert.match(running.lines[0]!, /EFBIG \(File too large\)/);
      assert.equal(Deno.statSync(path).size, limit, "up to there it is all");
      await running.endBy("SIGTERM");
      Deno.removeSync(path);
    });
    await t.step("a terminal that has hung up", async () => {
      using pty = new Pty();
      const redirect = `<${pty.path} >${pty.path}`;
      await using running = new Running({ kernel: COUNTS, redirect });
      await running.until(() => pty.raw, "raw terminal");
      pty.hangUp();
      await running.says(LOST);
      assert.match(running.lines[0]!, /EIO \(Input\/output error\)/);
      await running.endBy("SIGTERM");
    });
    await t.step("a reader that is gone: its own choice, no line", async () => {
      using fifo = new Fifo();
      const redirect = `>${fifo.path}`;
      await using running = new Running({ kernel: COUNTS, redirect });
      await running.until(() => fifo.length > 0, "output");
      fifo.close();
      await new Promise((done) => setTimeout(done, 300));
      assert.ok(running.alive);
      await running.endBy("SIGTERM");
      assert.deepEqual(running.lines, []);
    });
    await t.step("not open for writing", async () => {
      const redirect = "1</dev/null";
      await using running = new Running({ kernel: HI, redirect });
      await running.says(LOST);
      assert.match(running.lines[0]!, /EBADF \(Bad file descriptor\)/);
      await running.endBy("SIGTERM");
    });
  },
}));

Deno.test(needing([KVM], {
  name:
    "a non-blocking pipe with a slow reader gets all of the output, in order",
  async fn() {
    using fifo = new Fifo();
    const redirect = `>${fifo.path}`;
    await using running = new Running({ kernel: COUNTS, redirect });
    await running.until(() => fifo.length > 0, "output");
    makeNonBlocking(running.child.pid, 1);
    await fifo.stuck();
    const received: number[] = [];
    while (received.length < 20 * FIFO_SIZE) {
      await running.until(() => fifo.length > 0, "output");
      received.push(...fifo.read());
    }
    const wrong = received.findIndex((byte, at) =>
      byte !== (received[0]! + at & 0xff)
    );
    assert.equal(wrong, -1);
    await running.endBy("SIGTERM");
    assert.deepEqual(running.lines, []);
  },
}));

/** Makes a descriptor of a child non-blocking, as one of its friends might. */
function makeNonBlocking(pid: number, fd: number): void {
  const [PIDFD_OPEN, PIDFD_GETFD, F_SETFL] = [434n, 438n, 4];
  using stack = new DisposableStack();
  const library = Deno.dlopen("libc.so.6", {
    syscall: { parameters: ["i64", "i64", "i64", "i64"], result: "i64" },
  });
  stack.defer(() => library.close());
  const pidFd = library.symbols.syscall(PIDFD_OPEN, BigInt(pid), 0n, 0n);
  const copy = library.symbols.syscall(PIDFD_GETFD, pidFd, BigInt(fd), 0n);
  stack.defer(() => [pidFd, copy].forEach((fd) => closeFd(Number(fd))));
  const O_NONBLOCK_WRONLY = 0o4001;
  assert.equal(libc.fcntl(Number(copy), F_SETFL, O_NONBLOCK_WRONLY), 0);
}

Deno.test(needing([KVM], {
  name:
    "input of every kind: a directory is refused, what can't be read is at its end",
  async fn(t) {
    await t.step("a directory", async () => {
      await using running = new Running({ kernel: HI, redirect: "</" });
      assert.equal((await running.end()).code, 1);
      assert.deepEqual(running.lines, ["vireo: standard input is a directory"]);
      assert.equal(running.stdout, "");
    });
    for (const redirect of ["0>/dev/null", "<&-", "</dev/null"]) {
      await t.step(`${redirect}: Ctrl-D for a guest of boot`, async () => {
        await using running = new Running({ kernel: ECHOES, redirect });
        await running.until(() => running.stdout.includes("\x04"), "Ctrl-D");
        assert.deepEqual(running.lines, []);
        await running.endBy("SIGTERM");
      });
    }
    await t.step("non-blocking", async () => {
      await using running = new Running({ kernel: ECHOES });
      makeNonBlocking(running.child.pid, 0);
      await running.hi();
      const writer = running.child.stdin.getWriter();
      await writer.write(new TextEncoder().encode("typed"));
      await running.until(() => running.stdout.includes("typed"), "echo");
      await running.endBy("SIGTERM");
      writer.releaseLock();
    });
  },
}));

Deno.test(needing([KVM], {
  name: "vireo run: input that is at its end from the start asks for nothing",
  async fn() {
    await using boot = new Running({ kernel: ECHOES, redirect: "</dev/null" });
    await using run = new Running({
      ...{ kernel: ECHOES, run: true, redirect: "</dev/null" },
    });
    await using typed = new Running({ kernel: ECHOES, run: true });
    await run.hi();
    await boot.until(() => boot.stdout.includes("\x04\x04"), "Ctrl-D twice");
    assert.equal(run.stdout, "hi\n");
    const writer = typed.child.stdin.getWriter();
    await writer.write(new TextEncoder().encode("typed"));
    await writer.close();
    await typed.until(() => typed.stdout.includes("typed\n\x04"), "Ctrl-D");
    assert.equal(run.stdout, "hi\n", "and it runs on");
    for (const running of [boot, run, typed]) await running.endBy("SIGTERM");
  },
}));

Deno.test(needing([KVM], {
  name: "input is read only as the guest has room for it",
  async fn() {
    const ring = 64 * 1024;
    const pipe = 64 * 1024;
    const chunk = 16 * 1024;
    await using running = new Running({ kernel: HI });
    await running.hi();
    const writer = running.child.stdin.getWriter();
    let taken = 0;
    const write = async () => {
      while (running.alive && taken < 100 * ring) {
        await writer.write(new Uint8Array(4096));
        taken += 4096;
      }
    };
    const writing = write().catch(() => {}); // it ends with the process
    // Until nothing more has been taken for half a second.
    for (let same = 0, last = -1; same < 25; last = taken) {
      same = last === taken ? same + 1 : 0;
      await new Promise((done) => setTimeout(done, 20));
    }
    assert.ok(taken >= ring, `${taken}`);
    assert.ok(taken <= ring + pipe + 2 * chunk + 4096, `${taken}`);
    await running.endBy("SIGTERM");
    await writing;
    writer.releaseLock();
  },
}));

Deno.test("what is no machine's output fails as that of other programs: a line, or SIGPIPE", async () => {
  const runs: [string[], string][] = [
    [["--help"], "ENOSPC"],
    [["--version"], "ENOSPC"],
    [["boot", "--help"], "ENOSPC"],
    [["completion", "bash"], "ENOSPC"],
  ];
  for (const [args, code] of runs) {
    const { stderr, code: status } = await shell(">/dev/full", args);
    assert.match(
      stderr,
      new RegExp(`^vireo: standard output: ${code} [^\n]+\n$`),
    );
    assert.equal(status, 1);
  }
  const closed = await shell("| true; wait", ["--help"]);
  assert.equal(closed.stderr, "");
  const whole = await vireo(["boot", "--help"]);
  assert.ok(whole.stdout.length > 4096);
});

/** Runs Vireo with a redirection. */
async function shell(
  redirect: string,
  args: string[],
): Promise<{ code: number; stderr: string }> {
  const vireo = [Deno.execPath(), "run", "--quiet", "-A", MAIN, ...args];
  const { code, stderr } = await new Deno.Command("sh", {
    args: ["-c", `"$@" ${redirect}`, "sh", ...vireo],
    stdin: "null",
    env: { NO_COLOR: "1" },
  }).output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

Deno.test(needing([KVM], {
  name:
    "--pcap: a FIFO that nobody reads is refused in a line; a slow reader holds nobody up",
  async fn() {
    const handler = new URL("../../examples/pong.ts", import.meta.url).pathname;
    using fifo = new Fifo();
    const args = ["--net", `handler=${handler}`, "--pcap", fifo.path];
    await using running = new Running({ kernel: HI, args });
    await running.hi();
    assert.equal(fifo.length, 24, "the file's header");
    await running.endBy("SIGTERM");
    const alone = `${running.folder}/alone`;
    await new Deno.Command("mkfifo", { args: [alone] }).output();
    await using refused = new Running({
      kernel: HI,
      args: ["--net", `handler=${handler}`, "--pcap", alone],
    });
    assert.equal((await refused.end()).code, 1);
    assert.deepEqual(refused.lines, [
      `vireo: capture file "${alone}": nobody reads this FIFO; ` +
      "start its reader first",
    ]);
  },
}));
