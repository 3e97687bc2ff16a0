/** Captures. */
import assert from "node:assert/strict";
import { closeFd, Open, openFd } from "../../../ffi/file.ts";
import { libc } from "../../../ffi/libc.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { HandlerBackend } from "./handler.ts";
import { PcapBackend, pcapHeader } from "./pcap.ts";
import { frameAt } from "../testing/net.ts";

const HEADER = 12;

/** A capture of a network that answers every frame with itself. */
class Capture implements Disposable {
  readonly memory = GuestMemory.allocate(1 << 20, { hugePages: false });
  readonly path = Deno.makeTempFileSync({ prefix: "vireo-pcap-" });
  readonly file: number;
  readonly backend: PcapBackend;

  constructor(path = this.path) {
    this.file = openFd(path, Open.WRONLY, "capture");
    const header = pcapHeader();
    libc.write_u32(this.file, header, header.length);
    const { memory } = this;
    const echo = new HandlerBackend((f) => f, memory, HEADER, () => {});
    this.backend = new PcapBackend(echo, this.file, memory, HEADER);
  }

  send(...lengths: number[]): void {
    const frames = lengths.map((length, n) => {
      this.memory.bytes(n << 16, HEADER + length).fill(n + 1);
      return frameAt(n << 16, HEADER + length);
    });
    this.backend.send(frames, frames.length);
  }

  receive(): number {
    return this.backend.receive(frameAt(0x8_0000, 70_000));
  }

  [Symbol.dispose](): void {
    this.backend.close();
    closeFd(this.file);
    Deno.removeSync(this.path);
    this.memory.free();
  }
}

interface Record {
  time: number;
  bytes: Uint8Array;
}

/** The records of a capture, as pcap-savefile(5) has them. */
function records(path: string): Record[] {
  const bytes = Deno.readFileSync(path);
  const view = new DataView(bytes.buffer);
  assert.equal(view.getUint32(0, true), 0xa1b2c3d4);
  assert.deepEqual([view.getUint16(4, true), view.getUint16(6, true)], [2, 4]);
  assert.equal(view.getUint32(20, true), 1, "Ethernet");
  const found: Record[] = [];
  for (let at = 24; at < bytes.length;) {
    const [seconds, micros, kept, length] = [0, 4, 8, 12]
      .map((offset) => view.getUint32(at + offset, true));
    assert.equal(kept, length);
    assert.ok(micros! < 1e6);
    found.push({
      time: seconds! * 1000 + micros! / 1000,
      bytes: bytes.slice(at + 16, at + 16 + kept!),
    });
    at += 16 + kept!;
  }
  return found;
}

Deno.test("PcapBackend: frames of both directions are in the file, without headers", () => {
  using capture = new Capture();
  const before = Date.now();
  capture.send(60, 1514);
  assert.equal(capture.receive(), HEADER + 60);
  assert.equal(capture.receive(), HEADER + 1514);
  assert.ok(capture.receive() < 0, "there it is written");
  const found = records(capture.path);
  assert.deepEqual(found.map((r) => r.bytes.length), [60, 1514, 60, 1514]);
  assert.deepEqual(found.map((r) => r.bytes[30]), [1, 2, 1, 2]);
  for (const { time } of found) {
    assert.ok(time > before - 1000 && time < Date.now() + 1000, `${time}`);
  }
});

Deno.test("PcapBackend: more than its buffer holds is written, too", () => {
  using capture = new Capture();
  const lengths = [60_000, 60_000, 60_000, 60_000, 60_000, 60_000];
  capture.send(...lengths);
  for (const length of lengths) {
    assert.equal(capture.receive(), HEADER + length);
  }
  capture.backend.close();
  const found = records(capture.path).map((r) => r.bytes.length);
  assert.deepEqual(found, [...lengths, ...lengths]);
});

Deno.test("PcapBackend: a full disk ends the capture, and nothing else", () => {
  using capture = new Capture("/dev/full");
  for (let i = 0; i < 3; i++) {
    capture.send(60);
    assert.equal(capture.receive(), HEADER + 60);
  }
});
