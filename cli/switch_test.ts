/** `vireo switch`: its words, and its end. */
import assert from "node:assert/strict";
import { MAIN, vireo } from "../vmm/testing/command.ts";
import { Client } from "../network/testing/client.ts";
import { parseLink } from "./switch.ts";

Deno.test("vireo switch: a socket and its link", () => {
  assert.deepEqual(parseLink("a,,b"), { path: "a,b", options: {} });
  assert.deepEqual(
    parseLink("s,latency=5,jitter=0.5,loss=0.01,rate=1.5M,seed=7,pcap=f"),
    {
      path: "s",
      options: {
        ...{ latency: 5, jitter: 0.5, loss: 0.01, rate: 1.5e6, seed: 7 },
        pcap: "f",
      },
    },
  );
  const words = "latency=MS, jitter=MS, loss=FRACTION, rate=BITS, seed=N, " +
    "pcap=FILE";
  for (
    const [text, wrong] of [
      ["", "no socket is named"],
      [
        "s,los=1",
        `"los=1" is not one of ${words}; did you mean "loss=FRACTION"?`,
      ],
      [
        "s,loss",
        `"loss" is not one of ${words}; did you mean "loss=FRACTION"?`,
      ],
      ["s,loss=1%", 'loss: "1%" is not a number, such as 0.5 or 10M'],
    ] as const
  ) {
    assert.throws(() => parseLink(text), {
      message: `switch ${text}: ${wrong}`,
    });
  }
});

Deno.test("vireo switch: one line for what can't be, and nothing is left; a signal ends it in order", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  using _dir = { [Symbol.dispose]: () => Deno.removeSync(dir) };
  const [a, b] = [`${dir}/a`, `${dir}/b`];
  const wrong = await vireo(["switch", a, `${b},loss=3`]);
  assert.deepEqual(wrong, {
    ...{ code: 1, stdout: "" },
    stderr: `vireo: switch "${b}": loss 3 is not a number from 0 to 1\n`,
  });
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", MAIN, "switch", a, b],
    ...{ stdin: "null", stdout: "piped", stderr: "piped" },
  }).spawn();
  const stdout = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  while (said.split("\n").length < 3) {
    const { value, done } = await stdout.read();
    assert.ok(!done, said);
    said += value;
  }
  assert.equal(said, `--net switch=${a}\n--net switch=${b}\n`);
  using client = await Client.connect(a);
  child.kill("SIGTERM");
  assert.equal(await client.receive(), undefined, "hung up");
  let last = "";
  for (;;) {
    const { value, done } = await stdout.read();
    if (done) break;
    last += value;
  }
  const counts = "frames received 0, sent 0, lost 0, dropped 0";
  assert.equal(last, `${a}: ${counts}\n${b}: ${counts}\n`);
  const { signal } = await child.status;
  assert.equal(signal, "SIGTERM");
  assert.equal(await new Response(child.stderr).text(), "");
});
