/** Captures. */
import assert from "node:assert/strict";
import { needing, root } from "../../../ffi/testing/needs.ts";
import { closeFd, Open, openFd } from "../../../ffi/file.ts";
import { libc } from "../../../ffi/libc.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { HandlerBackend } from "./handler.ts";
import { PcapBackend } from "./pcap.ts";
import { PcapFile, pcapHeader } from "./pcap_file.ts";
import { frameAt } from "../testing/net.ts";

async function command(name: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(name, { args }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}

const HEADER = 12;

/** A capture of a network that answers every frame with itself. */
class Capture implements Disposable {
  readonly memory = GuestMemory.allocate(1 << 20, { hugePages: false });
  readonly path = Deno.makeTempFileSync({ prefix: "vireo-pcap-" });
  readonly file: number;
  readonly backend: PcapBackend;
  readonly log: string[] = [];

  constructor(path = this.path) {
    this.file = openFd(path, Open.WRONLY | Open.NONBLOCK, "capture");
    const header = pcapHeader();
    libc.write_u32(this.file, header, header.length);
    const { memory } = this;
    const echo = new HandlerBackend((f) => f, memory, HEADER, () => {});
    const log = (message: string) => this.log.push(message);
    const file = new PcapFile({ path, fd: this.file }, log);
    this.backend = new PcapBackend(echo, file, memory, HEADER);
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

Deno.test("PcapBackend: a full disk costs frames of the capture, is told once, and nothing else", () => {
  using capture = new Capture("/dev/full");
  for (let i = 0; i < 3; i++) {
    capture.send(60);
    assert.equal(capture.receive(), HEADER + 60);
  }
  for (let i = 0; i < 6; i++) {
    capture.send(60_000);
    assert.equal(capture.receive(), HEADER + 60_000);
  }
  capture.backend.close();
  assert.deepEqual(capture.log, [
    'capture "/dev/full": ENOSPC (No space left on device); frames are left ' +
    "out until there is room",
    'capture "/dev/full": frames left out: 18',
  ]);
});

Deno.test(needing([root("mounts a file system")], {
  name:
    "PcapBackend: a full file system has whole records, and goes on with room",
  async fn() {
    const folder = Deno.makeTempDirSync({ prefix: "vireo-pcap-" });
    await command("mount", "-t", "tmpfs", "-o", "size=64k", "vireo", folder);
    try {
      const path = `${folder}/capture`;
      const filler = `${folder}/filler`;
      Deno.writeFileSync(filler, new Uint8Array(32 * 1024));
      Deno.writeFileSync(path, new Uint8Array());
      using capture = new Capture(path);
      for (let i = 0; i < 100; i++) capture.send(1000);
      Deno.removeSync(filler);
      for (let i = 0; i < 100; i++) assert.ok(capture.receive() > 0);
      assert.ok(capture.receive() < 0);
      capture.backend.close();
      const found = records(path);
      assert.ok(found.length > 40, `${found.length} records`);
      assert.ok(found.every(({ bytes }) => bytes.length === 1000));
      assert.equal(capture.log.length, 2, capture.log.join("\n"));
      assert.match(capture.log[1]!, /frames left out: \d+$/);
    } finally {
      await command("umount", folder);
      Deno.removeSync(folder);
    }
  },
}));

Deno.test("PcapBackend: a FIFO's slow reader costs whole records; one that goes, the rest", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "vireo-pcap-" });
  const path = `${folder}/fifo`;
  await command("mkfifo", path);
  const reader = openFd(path, Open.RDONLY | Open.NONBLOCK, "reader");
  const received: Uint8Array[] = [];
  const read = () => {
    for (;;) {
      const bytes = new Uint8Array(65536);
      const count = libc.read_u32(reader, bytes, bytes.length);
      if (count <= 0) return;
      received.push(bytes.subarray(0, count));
    }
  };
  {
    using capture = new Capture(path);
    const { backend, log } = capture;
    // What a pipe and the buffer hold, and more.
    for (let i = 0; i < 40; i++) {
      capture.send(10_000);
      assert.equal(capture.receive(), HEADER + 10_000);
    }
    for (let i = 0; i < 10; i++) {
      capture.receive();
      read();
    }
    assert.deepEqual(log, [], "a slow reader is nothing to speak of");
    closeFd(reader);
    for (let i = 0; i < 3; i++) capture.send(60);
    backend.close();
    assert.match(log[0]!, /EPIPE \(Broken pipe\); the capture ends$/);
    assert.match(log[1]!, /frames left out: \d+$/);
    assert.equal(log.length, 2);
  }
  const all = `${folder}/all`;
  for (const bytes of received) {
    Deno.writeFileSync(all, bytes, { append: true });
  }
  const found = records(all);
  assert.ok(found.length > 20 && found.length < 80, `${found.length} records`);
  assert.ok(found.every(({ bytes }) => bytes.length === 10_000));
  Deno.removeSync(folder, { recursive: true });
});
