/**
 * Commands by way of init's agent: the same program as in the guest, as a
 * process here.
 */
import assert from "node:assert/strict";
import { heldAgain, heldAtRest } from "../testing/held.ts";
import { needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { AgentGuest, AgentProgram, runs } from "../testing/agent.ts";
import { Agent } from "./mod.ts";
import type { ExecOptions } from "./mod.ts";

const WITH = ["gcc"];
const all = Uint8Array.from({ length: 256 }, (_, i) => i);

/** An agent that runs here, in a folder that everybody may be in. */
async function here(
  test: (
    run: (command: string | string[], options?: ExecOptions) => ReturnType<
      Agent["exec"]
    >,
    agent: Agent,
    guest: AgentGuest,
  ) => Promise<void>,
): Promise<void> {
  using program = await AgentProgram.make();
  await using guest = new AgentGuest(program);
  const agent = new Agent(guest);
  await test(
    (command, options) => agent.exec(command, { cwd: "/tmp", ...options }),
    agent,
    guest,
  );
}

Deno.test(needing(WITH, {
  name: "agent: status, streams apart, environment, folder, words as they are",
  fn: () =>
    here(async (run) => {
      const one = await run("echo out; echo err >&2; exit 3");
      assert.deepEqual(
        [one.success, one.code, one.signal, one.text(), one.errorText()],
        [false, 3, null, "out\n", "err\n"],
      );
      assert.deepEqual((await run(["true"])).success, true);
      const words = await run(["printf", "%s|", "a b", "", "$HOME", "é'\""]);
      assert.equal(words.text(), "a b||$HOME|é'\"|");
      const env = { A: "1", HOME: "/x", EMPTY: "" };
      const there = await run("echo $A $HOME $OWN $EMPTY; pwd", { env });
      assert.equal(there.text(), "1 /x 1\n/tmp\n");
      const killed = await run("kill -9 $$");
      assert.deepEqual([killed.code, killed.signal], [137, "SIGKILL"]);
      for (
        const [command, options, code, text] of [
          [["no-such-program"], {}, 127, "no-such-program: not found\n"],
          [["/no/such"], {}, 127, "/no/such: not found\n"],
          [["/etc/passwd"], {}, 126, "/etc/passwd: can't be executed\n"],
          [["true"], { cwd: "/no/such" }, 126, "/no/such: no such folder\n"],
          [[""], {}, 127, ": not found\n"],
        ] as const
      ) {
        const { code: got, stderr } = await run([...command], options);
        assert.deepEqual([got, new TextDecoder().decode(stderr)], [code, text]);
      }
      const long = "x".repeat(100_000);
      assert.equal((await run(["echo", long])).text(), `${long}\n`);
    }),
}));

Deno.test(needing(WITH, {
  name: "agent: bytes of all values, 1 MiB both ways, and more than is read",
  fn: () =>
    here(async (run) => {
      const back = await run("cat", { stdin: all });
      assert.deepEqual(back.stdout, all);
      const big = new Uint8Array(1 << 20);
      for (let i = 0; i < big.length; i += 65536) {
        crypto.getRandomValues(big.subarray(i, i + 65536));
      }
      const whole = await run("tee /dev/stderr", { stdin: big });
      assert.ok(Buffer.from(whole.stdout).equals(big), "stdout");
      assert.ok(Buffer.from(whole.stderr).equals(big), "stderr");
      // It reads one byte, or none, and ends.
      for (const command of ["head -c 1 >/dev/null", "true", "exec <&-"]) {
        assert.equal((await run(command, { stdin: big })).code, 0);
      }
      assert.equal((await run("cat")).text(), "");
      const stream = new ReadableStream<Uint8Array>({
        start(controller) {
          for (const letter of "abc") {
            controller.enqueue(new TextEncoder().encode(letter));
          }
          controller.close();
        },
      });
      assert.equal((await run("cat", { stdin: stream })).text(), "abc");
    }),
}));

Deno.test(needing(WITH, {
  name: "agent: 50 in a row, 40 side by side: more than there are channels",
  fn: () =>
    here(async (run) => {
      for (let i = 0; i < 50; i++) {
        assert.equal((await run(`echo ${i}`)).text(), `${i}\n`);
      }
      const both = Array.from({ length: 40 }, (_, i) =>
        run(`cat; echo ${i} >&2; exit ${i}`, { stdin: `${i} `.repeat(5000) }));
      for (
        const [i, { code, stdout, stderr }] of (await Promise.all(both))
          .entries()
      ) {
        assert.equal(new TextDecoder().decode(stdout), `${i} `.repeat(5000));
        assert.deepEqual([code, ...stderr], [
          i,
          ...new TextEncoder().encode(`${i}\n`),
        ]);
      }
    }),
}));

Deno.test(needing(WITH, {
  name:
    "agent: one that takes too long, prints too much or is given up is killed, with what it has started",
  fn: () =>
    here(async (run, agent) => {
      const mark = `7${Deno.pid}`;
      const none = () => !runs(`sleep ${mark}`);
      const slow = `sleep ${mark} & sleep ${mark}; wait`;
      await assert.rejects(run(slow, { timeout: 50 }), {
        name: "VireoError",
        message: "exec: the command has had its 50 ms",
      });
      await until(none, "end of a slow one");
      const given = new AbortController();
      const running = run(slow, { signal: given.signal });
      setTimeout(() => given.abort(new Error("enough")), 50);
      await assert.rejects(running, /enough/);
      await until(none, "end of one that was given up");
      // As often as there are channels, and more.
      for (let i = 0; i < 40; i++) {
        await assert.rejects(
          run("yes", { maxOutput: 1000 * i }),
          /prints more than \d+ bytes/,
        );
      }
      await assert.rejects(
        run("true", { signal: AbortSignal.abort(new Error("before")) }),
        /before/,
      );
      {
        await using process = await agent.spawn(["sleep", mark], { cwd: "/" });
        process.kill("SIGINT");
        assert.equal((await process.status).signal, "SIGINT");
        assert.throws(() => process.kill("SIGNO" as "SIGINT"), /no signal/);
        await using _other = await agent.spawn(["sleep", mark], { cwd: "/" });
      }
      await until(none, "end at the scope's end");
      // Who stays in the background is left, and not waited for.
      const { code, stdout } = await run(`sleep ${mark} & echo $!`);
      assert.equal(code, 0);
      const pid = Number(new TextDecoder().decode(stdout));
      await until(() => !none(), "one in the background"); // it is sh at first
      Deno.kill(pid, "SIGKILL");
      assert.equal((await run("echo still here")).text(), "still here\n");
    }),
}));

Deno.test(needing(WITH, {
  name:
    "agent: output that nobody reads keeps its command waiting, and no other",
  fn: () =>
    here(async (run, agent) => {
      await using process = await agent.spawn("yes", { cwd: "/" });
      const reader = process.stdout.getReader();
      await reader.read();
      for (let i = 0; i < 5; i++) {
        assert.equal((await run("echo there")).text(), "there\n");
      }
      let bytes = 0;
      while (bytes < 1 << 20) bytes += (await reader.read()).value!.length;
    }),
}));

Deno.test(needing(WITH, {
  name: "agent: a terminal, its size, its end of input, Ctrl-C",
  fn: () =>
    here(async (_run, agent) => {
      const terminal = { rows: 33, columns: 101 };
      await using shell = await agent.spawn(["sh"], {
        cwd: "/",
        terminal,
        env: { PS1: "", TERM: "dumb" },
      });
      let shown = "";
      const shows = (async () => {
        const decoder = new TextDecoder();
        for await (const chunk of shell.stdout) {
          shown += decoder.decode(chunk, { stream: true });
        }
      })();
      const writer = shell.stdin.getWriter();
      const type = (text: string) =>
        writer.write(new TextEncoder().encode(text));
      const see = (text: string) =>
        until(() => shown.includes(text), text, () => shown);
      await type("stty -echo; stty size; tty\n");
      await see("33 101\r\n/dev/pts/");
      shell.resize({ columns: 80, rows: 24 });
      await type("stty size\n");
      await see("24 80\r\n");
      // What is ready is what Ctrl-C ends: before the program runs, the shell
      // would note the signal, and then wait for the program's end.
      const program = "sh -c 'echo ready; exec sleep 1000'";
      await type(`trap 'echo caught' INT; ${program}\n`);
      await see("ready\r\n");
      await type("\x03");
      await see("caught\r\n");
      await writer.close();
      assert.equal((await shell.status).success, false); // of the Ctrl-C
      await shows;
    }),
}));

Deno.test(needing(WITH, {
  name: "agent: the guest ends in the middle: so do all its commands",
  fn: () =>
    here(async (run, _agent, guest) => {
      await run("true");
      const both = [
        run("cat; :", { stdin: new ReadableStream() }),
        run("cat", { stdin: new ReadableStream() }),
      ];
      setTimeout(() => guest.child.kill("SIGKILL"), 100);
      for (const one of both) {
        await assert.rejects(one, /exec: the machine has ended, or was put/);
      }
      assert.equal((await run("echo again")).text(), "again\n", "of another");
    }),
}));

Deno.test(needing(WITH, {
  name: "agent: no descriptor is left",
  async fn() {
    const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
    const once = () =>
      here(async (run) => {
        await run("true");
      });
    await once();
    const held = await heldAtRest(dir);
    await once();
    await heldAgain(dir, held, "after an agent has ended");
    Deno.removeSync(dir);
  },
}));
