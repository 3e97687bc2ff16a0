/** The agent's frames, whatever the bytes are. */
import assert from "node:assert/strict";
import {
  encodeFrame,
  encodeHello,
  encodeWords,
  Frame,
  FrameReader,
  From,
  newNumber,
  Nonsense,
  PAYLOAD,
  pieces,
} from "./protocol.ts";

function concat(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(
    parts.reduce((sum, { length }) => sum + length, 0),
  );
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** A reader that has had the answer to its HELLO. */
function greeted(): FrameReader {
  const number = newNumber();
  const reader = new FrameReader(number);
  assert.deepEqual([...reader.take(encodeFrame(From.HELLO, 0, number))], []);
  assert.ok(reader.greeted);
  return reader;
}

Deno.test("agent frames: cut anywhere, they are the same", () => {
  const frames: Frame[] = [
    { type: From.OUTPUT, channel: 0, bytes: new Uint8Array([0xa5, 0, 1]) },
    { type: From.END, channel: 31, bytes: new Uint8Array([0, 3]) },
    { type: From.ERRORS, channel: 7, bytes: new Uint8Array(PAYLOAD).fill(9) },
    { type: From.OUTPUT, channel: 1, bytes: new Uint8Array() },
  ];
  const all = concat(
    ...frames.map(({ type, channel, bytes }) =>
      encodeFrame(type, channel, bytes)
    ),
  );
  for (const size of [1, 2, 5, 7, 100, all.length]) {
    const reader = greeted();
    const got = [...pieces(all, size)].flatMap((piece) => [
      ...reader.take(piece),
    ]);
    assert.deepEqual(got, frames, `${size}`);
  }
});

Deno.test("agent frames: before the answer to HELLO, anything is skipped", () => {
  const number = newNumber();
  const answer = encodeFrame(From.HELLO, 0, number);
  const frame = encodeFrame(From.END, 3, new Uint8Array([0, 0]));
  const stale = concat(
    encodeFrame(From.HELLO, 0, newNumber()),
    answer.subarray(0, 9),
    new Uint8Array(5000).fill(0xff),
  );
  const all = concat(stale, answer, frame);
  for (const size of [1, 3, 11, 4096, all.length]) {
    const reader = new FrameReader(number);
    const got = [...pieces(all, size)].flatMap((piece) => [
      ...reader.take(piece),
    ]);
    assert.deepEqual(got.map(({ channel }) => channel), [3], `${size}`);
  }
});

Deno.test("agent frames: noise without an answer comes to an end", () => {
  const reader = new FrameReader(newNumber());
  const noise = new Uint8Array(65536).fill(1);
  for (let i = 0; i < 64; i++) assert.deepEqual([...reader.take(noise)], []);
  assert.throws(() => [...reader.take(noise)], /makes noise, and does not/);
});

Deno.test("agent frames: nonsense is refused, and no bytes are kept for it", () => {
  const end = encodeFrame(From.END, 0, new Uint8Array(2));
  end[end.length - 1] = 0;
  const wrong = [
    [2, 0, 1, 0x10, 0], // too long
    [2, 32, 0, 0, 0xa5], // a channel that there isn't
    [2, 255, 255, 255, 255],
    [...end],
  ];
  for (const bytes of wrong) {
    assert.throws(
      () => [...greeted().take(Uint8Array.from(bytes))],
      Nonsense,
      `${bytes}`,
    );
  }
});

Deno.test("agent frames: 20,000 random strings are frames or refused", () => {
  let refused = 0, taken = 0;
  for (let i = 0; i < 20_000; i++) {
    const reader = greeted();
    const bytes = crypto.getRandomValues(new Uint8Array(4 + i % 64));
    if (i % 2) bytes.set([1 + i % 5, i % 32, i % 7, 0]);
    try {
      for (const _ of reader.take(bytes)) taken++;
    } catch (error) {
      assert.ok(error instanceof Nonsense);
      refused++;
    }
  }
  assert.ok(refused > 1000, `${refused} refused, ${taken} taken`);
});

Deno.test("agent words: what the guest can't take is refused in one line", () => {
  const refused = (words: string[], env: Record<string, string>, why: RegExp) =>
    assert.throws(() => encodeWords({ words, env }), why);
  refused([], {}, /^VireoError: exec: no command$/);
  refused(["a\0b"], {}, /zero byte/);
  refused(["a"], { "A=B": "" }, /"A=B" is no name/);
  refused(["a"], { "": "x" }, /"" is no name/);
  refused(["a"], { A: "\0" }, /zero byte/);
  refused(["a".repeat(200_000)], {}, /200002 bytes of words; at most 131072/);
  refused(Array(1001).fill("a"), {}, /at most 1000/);
  const bytes = encodeWords({ words: ["a", "é"], env: { A: "b" }, cwd: "/" });
  assert.equal(new TextDecoder().decode(bytes), "aa\0aé\0eA=b\0d/\0");
});

Deno.test("agent hello: longer than any frame that it might be taken for", () => {
  const hello = encodeHello(newNumber());
  assert.ok(hello.indexOf(1) > PAYLOAD + 4);
});
