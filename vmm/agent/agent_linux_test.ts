/** Commands in Linux by init's agent, and in the machines that are made of it. */
import assert from "node:assert/strict";
import { LinuxGuest } from "../../cli/testing/linux.ts";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { LINUX } from "../../images/testing/prepared.ts";
import { openControl } from "../controller/mod.ts";
import { Machine } from "../machine.ts";
import { vireo } from "../testing/command.ts";
import { Twin } from "../testing/twin.ts";

/** Far off. */
const timeout = 120_000;

const text = async (of: Machine, command: string) =>
  (await of.exec(command, { timeout })).text();

Deno.test(needing([KVM, LINUX], {
  name:
    "Machine.exec: in Linux, beside its shell; after restore, fork and reset, with commands in the middle",
  async fn(t) {
    await using linux = await LinuxGuest.boot({ console: { agent: true } });
    const { machine } = linux.test;
    await t.step(
      "status, streams, all bytes, side by side, in a row",
      async () => {
        const command = "echo out; echo err >&2; exit 3";
        const one = await machine.exec(command, { timeout });
        const said = [one.code, one.text(), one.errorText()];
        assert.deepEqual(said, [3, "out\n", "err\n"]);
        const bytes = Uint8Array.from({ length: 20_000 }, (_, i) => i * 7);
        const back = await machine.exec(["cat"], { stdin: bytes, timeout });
        assert.deepEqual(back.stdout, bytes);
        const both = Array.from({ length: 3 }, async (_, i) => {
          const env = { A: `a${i}` };
          const run = `echo ${i}; sleep 0.1; echo $A`;
          return (await machine.exec(run, { env, timeout })).text();
        });
        const expected = both.map((_, i) => `${i}\na${i}\n`);
        assert.deepEqual(await Promise.all(both), expected);
        for (let i = 0; i < 2; i++) {
          assert.equal(await text(machine, `echo ${i}`), `${i}\n`);
        }
      },
    );
    await t.step("a shell on a terminal, as a stream", async () => {
      await using shell = await machine.shell({
        terminal: { rows: 7, columns: 70 },
        timeout,
      });
      const writer = shell.stdin.getWriter();
      const line = "stty size; tty; pwd; exit 5\n";
      await writer.write(new TextEncoder().encode(line));
      const shown = await new Response(shell.stdout).text();
      assert.match(shown, /\n7 70\r\n\/dev\/pts\/\d+\r\n\/run\/root\r\n/);
      assert.equal((await shell.status).code, 5);
    });
    await t.step("by the command line of another process", async () => {
      const name = `exec-${Deno.pid}`;
      const source = { "boot-source": { kernel_image_path: "" } };
      const config = { cpus: 1, memory: 0, source };
      openControl(machine, config, { control: { name } });
      const words = ["--env", "A=b", name, "cat; echo $A >&2; exit 9"];
      assert.deepEqual(await vireo(["exec", ...words], "in\n"), {
        code: 9,
        stdout: "in\n",
        stderr: "b\n",
      });
    });
    await t.step("one that is given up is killed", async () => {
      const command = "echo $$; exec sleep 1234";
      const given = new AbortController();
      const late = await machine.spawn(command, { signal: given.signal });
      const pid = await firstNumber(late.stdout);
      given.abort(new Error("enough"));
      await assert.rejects(late.status, /enough/);
      // Init has to have waited for it.
      const gone = `while [ -d /proc/${pid} ]; do :; done; echo gone`;
      assert.equal(await text(machine, gone), "gone\n");
    });
    await t.step("the console's shell is as it was", async () => {
      assert.equal(await linux.run("(exit 7); echo $?"), "7");
    });
    await t.step(
      "kept for the next boot, which takes commands, too",
      async () => {
        await using next = await LinuxGuest.boot({ console: { agent: true } });
        const mapped = Deno.readTextFileSync("/proc/self/maps");
        assert.match(mapped, /\/vireo\/instant\//);
        assert.equal(await text(next.test.machine, "echo next"), "next\n");
      },
    );
    await t.step("restored, forked, reset", () => copies(machine));
    assert.deepEqual(linux.test.log, []);
  },
}));

/** What has been written to its file; without a process of its own. */
const SAID = 'read -r said </run/said; echo "$said"';

async function firstNumber(of: ReadableStream<Uint8Array>): Promise<number> {
  const { value } = await of.getReader().read();
  return Number.parseInt(new TextDecoder().decode(value));
}

async function copies(machine: Machine): Promise<void> {
  assert.equal(await text(machine, "echo first >/run/said"), "");
  // In the middle of its input, and of its output.
  const stays = machine.exec("cat >/run/cat; sleep 4321; echo $?", {
    stdin: new ReadableStream({
      start: (controller) => controller.enqueue(new Uint8Array(20_000)),
    }),
  });
  stays.catch(() => {});
  const prints = await machine.spawn("echo $$; exec yes", { timeout });
  const pid = await firstNumber(prints.stdout);
  using snapshot = await machine.snapshot();
  await using child = await machine.fork();
  await using twin = await Twin.of((options) =>
    Machine.restore(snapshot, {}, options)
  );
  for (const [i, one] of [child, twin.machine, machine].entries()) {
    const own = one === machine ? 0 : 1;
    // Killed as this one begins: init may not have waited for it yet.
    const killed = `while [ -d /proc/${pid} ]; do :; done; `;
    const said = await text(
      one,
      `${SAID}; echo ${i} >/run/said; ${own ? killed : ""}` +
        `[ -d /proc/${pid} ]; echo $?`,
    );
    assert.equal(said, `first\n${own}\n`, "it runs its own only");
  }
  await machine.reset(snapshot);
  await assert.rejects(stays, /machine has ended, or was put back/);
  await assert.rejects(prints.status, /machine has ended, or was put back/);
  assert.equal(await text(machine, SAID), "first\n");
  assert.equal(await text(child, SAID), "0\n");
  const last = machine.exec("sleep 1000");
  const ends = assert.rejects(last, /machine has ended/);
  await machine.pause();
  await machine.stop();
  await ends;
  await assert.rejects(machine.exec("true"), /the machine has ended/);
}
