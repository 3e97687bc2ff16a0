/** `vireo exec`: the agent is a process of this host, its machine a mock. */
import assert from "node:assert/strict";
import { needing } from "../../ffi/testing/needs.ts";
import { Pty } from "../../ffi/testing/pty.ts";
import { until } from "../../ffi/testing/until.ts";
import { MAIN, startVireo, vireo } from "../../vmm/testing/command.ts";
import { runs } from "../../vmm/testing/agent.ts";
import { ExecServer } from "../../vmm/testing/exec_server.ts";

const WITH = ["gcc"];

Deno.test(needing(WITH, {
  name: "vireo exec: streams, status, words, environment, folder, all bytes",
  async fn() {
    await using server = await ExecServer.make();
    const exec = (args: string[], input = "") =>
      vireo(["exec", ...args], input);
    const here = server.path;
    const one = "cat; echo err >&2; echo $A $PWD; exit 7";
    const [told, words, killed, missing, shell, big] = await Promise.all([
      exec(["--env", "A=b=c", "--cwd", "/", here, one], "in\n"),
      exec([here, "printf", "%s|", "a b", "-t", "--cwd", "$HOME"]),
      exec([here, "kill -9 $$"]),
      exec([here, "no-such-program", "x"]),
      exec([here], "echo $((6 * 7)); exit 3\n"),
      exec([here, "cat; cat >&2 </dev/null"], "0123456789".repeat(50_000)),
    ]);
    const stdout = "in\nb=c /\n";
    assert.deepEqual(told, { code: 7, stdout, stderr: "err\n" });
    assert.equal(words.stdout, "a b|-t|--cwd|$HOME|");
    assert.deepEqual(killed, { code: 137, stdout: "", stderr: "" });
    assert.equal(missing.code, 127);
    assert.equal(missing.stderr, "no-such-program: not found\n");
    assert.deepEqual(shell, { code: 3, stdout: "42\n", stderr: "" });
    assert.equal(big.stdout, "0123456789".repeat(50_000));
  },
}));

Deno.test(needing(WITH, {
  name:
    "vireo exec: 255 and a line when it can't run, 124 after --timeout, and nothing runs on",
  async fn() {
    await using server = await ExecServer.make();
    const refuses = async (
      pattern: RegExp,
      code: number,
      ...args: string[]
    ) => {
      const said = await vireo(["exec", ...args]);
      assert.match(said.stderr, pattern);
      assert.deepEqual([said.code, said.stdout], [code, ""], said.stderr);
      assert.equal(said.stderr.split("\n").length, 2, said.stderr);
    };
    const { path } = server;
    const mark = `9${Deno.pid}`;
    await Promise.all([
      refuses(/^vireo: no-such: no such machine; /, 255, "no-such", "true"),
      refuses(/: no machine listens here$/m, 255, "/no/such.sock", "true"),
      refuses(/env: "A" is not of the form/, 255, "--env", "A", path, "true"),
      refuses(/--timeout x: not a number/, 255, "--timeout", "x", path, "true"),
      refuses(/missing required argument 'machine'/, 1),
      refuses(/unknown option '--tt'.*--tty/, 1, "--tt", path),
      refuses(
        /--timeout: the command has had its 0.5 s/,
        ...[124, "--timeout", "0.5", path, `sleep ${mark}`] as const,
      ),
    ]);
    await until(() => !runs(mark), "its end");
    server.machine.state = "paused";
    await refuses(/exec: the machine is paused$/m, 255, path, "true");
    server.machine.state = "running";
    // It ends with its input, which the agent has.
    const words = ["exec", path, `cat; : 8${mark}`];
    const late = startVireo(words, {}, "piped");
    await until(() => runs(`8${mark}`), "the command");
    server.guest.child.kill("SIGKILL");
    const { code, stderr } = await late.output();
    await late.stdin.close().catch(() => {});
    assert.equal(code, 255);
    assert.match(
      new TextDecoder().decode(stderr),
      /^vireo: machine .*: exec: the machine has ended, or/,
    );
  },
}));

Deno.test(needing(WITH, {
  name:
    "vireo exec: signals are the command's; without its reader, or killed, it ends the command",
  async fn() {
    await using server = await ExecServer.make();
    const { path } = server;
    /** One that runs, and has printed "ready". */
    const begin = async (before: string, after: string) => {
      const mark = crypto.randomUUID();
      const script = `: ${mark}; ${before}; echo ready; ${after}`;
      const child = startVireo(["exec", path, script]);
      let printed = "";
      const all = (async () => {
        const decoder = new TextDecoder();
        for await (const bytes of child.stdout) {
          printed += decoder.decode(bytes, { stream: true });
        }
      })();
      await until(() => printed.includes("ready\n"), script, () => printed);
      const ends = async () => {
        const { signal } = await child.status;
        await Promise.all([all, child.stderr.cancel()]);
        await until(() => !runs(mark), "end");
        return [signal, printed];
      };
      return { child, ends };
    };
    const trap = "trap 'echo caught; exit 4' INT TERM";
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const { child, ends } = await begin(trap, "while :; do sleep 0.05; done");
      child.kill(signal);
      // It dies of it, as whoever waits for it is to see.
      assert.deepEqual(await ends(), [signal, "ready\ncaught\n"]);
    }
    const deaf = await begin("trap '' INT", "sleep 1000; sleep 1000");
    let over = false;
    deaf.child.status.then(() => over = true);
    while (!over) { // two that come while it is stopped are one
      deaf.child.kill("SIGINT");
      await new Promise((done) => setTimeout(done, 100));
    }
    assert.deepEqual(await deaf.ends(), ["SIGINT", "ready\n"]);
    const killed = await begin(":", "sleep 1000; :");
    killed.child.kill("SIGKILL");
    assert.deepEqual(await killed.ends(), ["SIGKILL", "ready\n"]);
    const mark = `yes ${Deno.pid}`;
    const vireo = `${Deno.execPath()} run -q -A ${MAIN}`;
    const { stdout, stderr } = await new Deno.Command("sh", {
      args: ["-c", `${vireo} exec ${path} "${mark}" | head -n 1`],
    }).output();
    assert.equal(new TextDecoder().decode(stdout), `${Deno.pid}\n`);
    assert.equal(new TextDecoder().decode(stderr), "");
    await until(() => !runs(mark), "its end");
  },
}));

Deno.test(needing([...WITH, "setsid"], {
  name:
    "vireo exec -t: a terminal of this one's size and type, its keys, a new size, and Ctrl-A x",
  async fn() {
    await using server = await ExecServer.make();
    // A session's end hangs up its terminal.
    using first = new Pty();
    using second = new Pty();
    const start = (pty: Pty, ...args: string[]) => {
      const vireo = [Deno.execPath(), "run", "-q", "-A", MAIN, "exec", ...args];
      // It is this terminal's foreground, as a shell's child is.
      const script = `stty rows 33 cols 101 <${pty.path}
        exec setsid -c "$@" <${pty.path} >${pty.path} 2>&1`;
      return new Deno.Command("sh", {
        args: ["-c", script, "sh", ...vireo],
        env: { TERM: "vt220", NO_COLOR: "1" },
      }).spawn();
    };
    let pty = first;
    const shell = start(pty, "-t", "--env", "PS1=ready", server.path);
    await pty.shows("ready");
    assert.ok(pty.raw);
    const sleeps = `sleep 1000.${Deno.pid}`;
    pty.type(`stty size; echo $TERM; tty; ${sleeps}\r`);
    await pty.shows("/dev/pts/");
    assert.match(pty.shown, /\n33 101\r+\nvt220\r+\n\/dev\/pts\//);
    // Between two commands, a Ctrl-C may be for the one that has just ended.
    await until(() => runs(sleeps), sleeps);
    pty.type("\x03");
    await pty.shows("^C");
    await new Deno.Command("sh", {
      args: ["-c", `stty rows 40 cols 90 <${pty.path}`],
    }).output();
    pty.type("while [ \"$(stty size)\" != '40 90' ]; do :; done; echo n''ew\r");
    await pty.shows("\nnew");
    pty.type("echo b''ack; exit 6\r");
    await pty.shows("\nback");
    assert.equal((await shell.status).code, 6);
    pty = second;
    const left = start(pty, "-t", server.path, "echo r''eady; sleep 1000");
    await pty.shows("ready");
    pty.type("\x01x");
    await pty.shows("Ctrl-A x: the command was given up");
    assert.equal((await left.status).code, 255);
    assert.ok(!pty.raw);
  },
}));
