/** gdb's frames: bytes in, packets out. */
import assert from "node:assert/strict";
import {
  type Frame,
  framed,
  FrameReader,
  latin1,
  PACKET_MAX,
} from "./packets.ts";
import { breakpointOf, goOf, part } from "./packet_text.ts";

function frames(...pieces: (string | Uint8Array)[]): Frame[] {
  const reader = new FrameReader();
  return pieces.flatMap((piece) => [
    ...reader.push(typeof piece === "string" ? latin1(piece) : piece),
  ]);
}

Deno.test("gdb packets: the manual's frames, however they are cut", () => {
  const stream = "+$?#3f-\x03$m1,2#fc";
  const expected = ["ack", "?", "nack", "interrupt", "m1,2"];
  const words = (all: Frame[]) =>
    all.map((frame) =>
      frame.type === "packet" ? String.fromCharCode(...frame.data) : frame.type
    );
  assert.deepEqual(words(frames(stream)), expected);
  assert.deepEqual(words(frames(...stream)), expected);
});

Deno.test("gdb packets: any bytes come back as they were", () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  assert.deepEqual(frames(framed(all)), [{ type: "packet", data: all }]);
});

Deno.test("gdb packets: a wrong sum is told, and the next packet is taken", () => {
  const types = frames("$g#00", "$g#zz", "$g#67").map(({ type }) => type);
  assert.deepEqual(types, ["damaged", "damaged", "packet"]);
});

Deno.test("gdb packets: what isn't gdb's ends it, and so does an endless packet", () => {
  for (const bytes of ["POST / HTTP/1.1\r\n", "\0", "x$g#67", "+ $g#67"]) {
    const types = frames(bytes, "$g#67").map(({ type }) => type);
    assert.equal(types.at(-1), "garbage", bytes);
    assert.ok(!types.includes("packet"), bytes);
  }
  const most = new Uint8Array(PACKET_MAX).fill(0x61);
  assert.equal(frames(framed(most))[0]!.type, "packet");
  const more = new Uint8Array(PACKET_MAX + 1).fill(0x61);
  assert.deepEqual(frames(framed(more)), [{ type: "garbage" }]);
});

Deno.test("gdb packets: which threads go, and how", () => {
  const all = (text: string) => [1, 2, 3].map(goOf(text)!);
  assert.deepEqual(all("vCont;c"), ["run", "run", "run"]);
  assert.deepEqual(all("vCont;s:2"), ["wait", "step", "wait"]);
  assert.deepEqual(all("vCont;s:2;c"), ["run", "step", "run"]);
  assert.deepEqual(all("vCont;C05:1;S05:-1"), ["run", "step", "step"]);
  for (
    const text of ["vCont", "vCont;", "vCont;t", "vCont;s:x", "vCont;r1,2"]
  ) {
    assert.equal(goOf(text), undefined, text);
  }
});

Deno.test("gdb packets: breakpoints of the kinds that x86 has", () => {
  const stop = (text: string) => breakpointOf(text)?.stop;
  const address = 0xffff_ffff_8100_0000n;
  assert.deepEqual(breakpointOf("Z0,ffffffff81000000,1"), {
    stop: { address, kind: "execute" },
    software: true,
    insert: true,
  });
  assert.deepEqual(stop("z2,ffffffff81000000,8"), {
    ...{ address, kind: "write", length: 8 },
  });
  assert.equal(stop("Z4,10,4")?.kind, "access");
  for (const text of ["Z3,10,4", "Z2,11,4", "Z2,10,3", "Z5,1,1", "Z1", "Zx"]) {
    assert.equal(stop(text), undefined, text);
  }
  assert.equal(part("abcdef", 0, 4), "mabcd");
  assert.equal(part("abcdef", 4, 4), "lef");
  assert.equal(part("abcdef", 9, 4), "l");
});
