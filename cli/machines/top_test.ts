/** `vireo top`: the machines of a user on one screen. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { vireo } from "../../vmm/testing/command.ts";
import { Running } from "../../vmm/testing/running.ts";
import { HI, TICKS } from "../../vmm/testing/tiny_guest.ts";
import { type Look, screenOf } from "./top.ts";

Deno.test(needing([KVM], {
  name: "vireo top: what two machines do; those that don't answer are there",
  async fn() {
    const names = [`top-a-${Deno.pid}`, `top-b-${Deno.pid}`] as const;
    await using busy = new Running({
      ...{ kernel: TICKS, args: ["--name", names[0]] },
    });
    await using idle = new Running({
      ...{ kernel: HI, args: ["--name", names[1]] },
    });
    const listed = async () => {
      const { stdout } = await vireo(["ps"]);
      return names.every((name) => stdout.includes(name));
    };
    await until(listed, "both in the list", () => busy.lines.join("\n"));
    const top = async (...words: string[]) => {
      const args = ["top", ...words, "--once", "--interval", "0.3"];
      const { code, stdout, stderr } = await vireo(args);
      assert.deepEqual([code, stderr], [0, ""], stdout);
      return stdout;
    };
    let screen = "";
    // Without a CPU, or a reader of its output, it rests for that long, too.
    const busily = /^\S+ +running +[\dm]+s +[1-9][\d.]*k? +io [1-9][\d.]*k?$/;
    const works = async () => {
      screen = await top(...names);
      assert.match(screen, /^MACHINE +STATE +UPTIME +EXITS\/s +OF WHICH\n/);
      const [a, b] = names.map((name) =>
        screen.split("\n").find((line) => line.startsWith(name))!
      );
      assert.match(b!, /^\S+ +running +[\dm]+s +0$/);
      return busily.test(a!);
    };
    await until(works, "exits of the busy one", () => screen);
    assert.doesNotMatch(await top(names[1]), new RegExp(names[0]));

    // A process that is stopped is a line, and no reason to wait for ever.
    idle.child.kill("SIGSTOP");
    const { pid } = idle.child;
    const stopped = new RegExp(`^${pid} +no answer +- +-$`, "m");
    assert.match(await top(), stopped);
    idle.child.kill("SIGCONT");
    for (
      const [pattern, ...words] of [
        [/^vireo: no-such: no such machine; "vireo ps" lists/, "no-such"],
        [/--interval 0: not 0\.1 to 3600/, "--interval", "0"],
        [/--interval x: not 0\.1 to 3600/, "--interval", "x"],
      ] as const
    ) {
      const { code, stdout, stderr } = await vireo(["top", ...words]);
      assert.match(stderr, pattern);
      assert.deepEqual([code, stdout], [1, ""]);
    }
  },
}));

Deno.test("vireo top: what a terminal acts on is not on the screen", () => {
  const look = (at: number, io: number): Look => ({
    ...{ id: "7", at },
    description: {
      ...{ pid: 7, command: [], cpus: 1, memory: 0, uptime: 1 },
      ...{ state: "running", name: "a\x1b[2J" },
    },
    metrics: {
      memory: 0,
      vcpus: [{ exits: { io } }],
      devices: [{
        ...{ name: "d\n\x07", kind: "block", inFlight: 0, requests: {} },
        ...{ configInterrupts: 0, activations: 0, resets: 0, needsReset: 0 },
        ...{ throttled: 0, queues: [] },
      }],
    },
  });
  const lines = screenOf([look(0, 0)], [look(500, 600)]);
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(lines.join("\n"), /[\x00-\x09\x0b-\x1f\x7f]/);
  assert.match(lines[1]!, /1\.2k +io 1\.2k$/);
  assert.deepEqual(screenOf([], [{ id: "8", at: 0 }])[1]!.split(/ +/), [
    ...["8", "no", "answer", "-", "-"],
  ]);
});
