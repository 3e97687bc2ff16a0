/** Agents that say nothing, or nonsense; and an agent that is told nonsense. */
import assert from "node:assert/strict";
import { closeFd } from "../../ffi/file.ts";
import { needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { socketPair } from "../../ffi/unix_socket.ts";
import { AgentProgram, PlayedGuest } from "../testing/agent.ts";
import { Agent } from "./mod.ts";
import {
  encodeFrame,
  encodeHello,
  From,
  INPUT_WINDOW,
  newNumber,
  OUTPUT_WINDOW,
  PAYLOAD,
  pieces,
  To,
} from "./protocol.ts";

Deno.test(needing(["gcc"], {
  name:
    "agent: hostile bytes from the host are skipped, and a hello begins anew",
  async fn() {
    using program = await AgentProgram.make();
    using guest = new PlayedGuest();
    const [ours, theirs] = socketPair();
    await guest.command("", { fd: ours }); // the test is the host
    const child = program.start(theirs);
    for (const fd of [ours, theirs]) closeFd(fd);
    const random = (length: number) =>
      crypto.getRandomValues(new Uint8Array(length));
    for (let round = 0; round < 60; round++) {
      for (let i = 0; i < 8; i++) {
        const bytes = random(1 + Math.random() * 900);
        const type = 1 + Math.floor(Math.random() * 9);
        const channel = Math.floor(Math.random() * 33);
        // A hello of no session of ours would be one: that is what it is for.
        const whole = encodeFrame(type === To.HELLO ? 9 : type, channel, bytes);
        // No signal of chance for the process group of another.
        guest.say(i % 2 ? whole : bytes.map((byte) => byte || 9));
        if (i === 5) guest.say(whole.subarray(0, Math.random() * 900));
      }
      const number = newNumber();
      guest.say(encodeHello(number));
      const answer = Buffer.from(encodeFrame(From.HELLO, 0, number));
      await guest.heard((heard) => Buffer.from(heard).includes(answer));
    }
    child.kill("SIGKILL");
    assert.equal((await child.status).signal, "SIGKILL", "it was alive");
  },
}));

for (
  const [what, bytes] of [
    ["a command that there isn't", [From.OUTPUT, 9, 1, 0, 65, 0xa5]],
    ["no frame", [255, 255, 255, 255, 255]],
    ["an unknown type", [77, 0, 0, 0, 0xa5]],
    ["credit that it has not got", [From.CREDIT, 0, 4, 0, 1, 0, 1, 0, 0xa5]],
    ["no credit", [From.CREDIT, 0, 4, 0, 0, 0, 0, 0, 0xa5]],
    ["half a credit", [From.CREDIT, 0, 2, 0, 1, 0, 0xa5]],
    ["an end of no kind", [From.END, 0, 2, 0, 9, 0, 0xa5]],
    ["a short end", [From.END, 0, 0, 0, 0xa5]],
    ["empty output", [From.OUTPUT, 0, 0, 0, 0xa5]],
    ["more output than it may", undefined],
  ] as const
) {
  Deno.test(`agent: nonsense ends the call, and the next begins anew: ${what}`, async () => {
    using guest = new PlayedGuest();
    const agent = new Agent(guest);
    const call = agent.exec("true", { stdin: "x".repeat(3 * INPUT_WINDOW) });
    await playHello(guest);
    await started(guest);
    if (bytes) guest.say(Uint8Array.from(bytes));
    else {
      call.catch(() => {});
      await agent.spawn("true"); // whose streams nobody reads
      const flood = new Uint8Array(OUTPUT_WINDOW + PAYLOAD);
      for (const piece of pieces(flood)) {
        guest.say(encodeFrame(From.OUTPUT, 1, piece));
      }
    }
    await assert.rejects(call, /^VireoError: exec: its agent/);
    const next = agent.exec("true");
    await playHello(guest, 2);
    await started(guest);
    guest.say(encodeFrame(From.END, 0, Uint8Array.of(0, 4)));
    assert.equal((await next).code, 4);
    assert.equal(guest.sessions, 2);
  });
}

Deno.test("agent: nonsense ends the call: a guest that prints, and takes no credit for it", async () => {
  using guest = new PlayedGuest();
  const agent = new Agent(guest);
  const call = agent.exec("true");
  const refused = assert.rejects(call, /exec: its agent says more than it may/);
  await playHello(guest);
  await started(guest);
  let over = false;
  const settle = () => void (over = true);
  call.then(settle, settle);
  // Each byte is read, and credit for it fills the socket; then the host stops.
  for (let i = 0; !over && i < 5000; i++) {
    const bytes = new Uint8Array(i < 500 ? 1 : PAYLOAD);
    guest.say(encodeFrame(From.OUTPUT, 0, bytes));
    await new Promise((done) => setTimeout(done));
  }
  await refused;
});

Deno.test("agent: nonsense ends the session: a guest that goes on printing for who has given up", async () => {
  using guest = new PlayedGuest();
  const agent = new Agent(guest);
  const given = new AbortController();
  const call = agent.exec("true", { signal: given.signal });
  const refused = assert.rejects(call, /enough/);
  const other = agent.exec("true");
  const ends = assert.rejects(other, /exec: its agent says more than it may/);
  await playHello(guest);
  await started(guest);
  given.abort(new Error("enough"));
  await refused;
  const flood = new Uint8Array(OUTPUT_WINDOW + PAYLOAD);
  for (const piece of pieces(flood)) {
    guest.say(encodeFrame(From.OUTPUT, 0, piece));
  }
  await ends;
});

Deno.test("agent: options that can't be are refused in one line, and nothing begins", async () => {
  using guest = new PlayedGuest();
  const agent = new Agent(guest);
  for (
    const [options, why] of [
      [{ timeout: 0 }, /exec: timeout: 0 is not above 0/],
      [{ timeout: NaN }, /timeout: NaN/],
      [{ timeout: 2 ** 31 }, /at most 2147483647 ms/],
      [{ maxOutput: -1 }, /maxOutput: -1 is no number of bytes/],
      [{ terminal: { rows: 1.5, columns: 80 } }, /80 x 1.5 is no terminal/],
      [{ terminal: { rows: 24, columns: 65536 } }, /65536 x 24 is no term/],
      [{ env: { "A=": "" } }, /is no name/],
      [{ cwd: "a\0b" }, /zero byte/],
    ] as const
  ) await assert.rejects(agent.exec("true", options), why);
  assert.equal(guest.sessions, 0);
});

Deno.test("agent: a guest that never answers ends the call, when its time is over, and is asked again", async () => {
  using guest = new PlayedGuest();
  const agent = new Agent(guest);
  await assert.rejects(
    agent.exec("true", { timeout: 30 }),
    /exec: the command has had its 30 ms/,
  );
  const given = new AbortController();
  const call = agent.exec("true", { signal: given.signal });
  setTimeout(() => given.abort(new Error("enough")), 30);
  await assert.rejects(call, /enough/);
  await playHello(guest);
  // It starts nothing: all channels are taken, but nothing is held up.
  for (let i = 0; i < 40; i++) {
    await assert.rejects(agent.exec("true", { timeout: 5 }), /5 ms/);
  }
});

Deno.test("agent: a machine without one, or that has ended, is one line", async () => {
  const agent = new Agent({
    command: () => Promise.reject(new Error("this machine has no console")),
    wait: () => Promise.resolve(),
  });
  await assert.rejects(agent.exec("true"), {
    name: "VireoError",
    message: "exec: this machine has no console; it takes " +
      '"console": { "agent": true }, or --agent',
  });
});

/** The guest's answer to the newest hello. */
async function playHello(guest: PlayedGuest, session = 1): Promise<void> {
  await until(() => guest.sessions >= session, "a session");
  const at = (all: Uint8Array) => {
    for (let i = PAYLOAD; i + 13 <= all.length; i++) {
      if (all[i] === To.HELLO && all[i + 2] === 8 && all[i + 12] === 0xa5) {
        return i;
      }
    }
    return -1;
  };
  const all = await guest.heard((all) => at(all) >= 0);
  const number = all.slice(at(all) + 4, at(all) + 12);
  guest.say(encodeFrame(From.HELLO, 0, number));
}

/** Channel 0 has its command. */
async function started(guest: PlayedGuest): Promise<void> {
  const start = Buffer.from([To.START, 0, 12, 0]); // and its length
  await guest.heard((all) => Buffer.from(all).includes(start));
}
