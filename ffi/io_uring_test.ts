/** io_uring on a real file. */
import assert from "node:assert/strict";
import { Errno } from "./errno.ts";
import { EventFd } from "./eventfd.ts";
import { closeFd, Open, openFd } from "./file.ts";
import { IoUring, RWF_NOWAIT } from "./io_uring.ts";
import { Iovecs } from "./iovecs.ts";
import { Mapping } from "./memory/mmap.ts";
import { descriptorsOfProcess } from "./testing/mmap.ts";

const FILE_SIZE = 64 * 1024;

/** A ring on a temporary file, and memory for iovecs and data. */
class RingSetup implements Disposable {
  readonly path = Deno.makeTempFileSync({ prefix: "vireo-uring-" });
  readonly content = Uint8Array.from(
    { length: FILE_SIZE },
    (_, i) => (i * 7 + (i >> 8)) & 0xff,
  );
  readonly fd: number;
  readonly ring: IoUring;
  readonly memory = new Mapping(1 << 20);
  readonly bytes = new Uint8Array(this.memory.buffer);
  readonly #iovecs = new Iovecs(this.memory, 0, 1024);
  #iovec = 0;

  constructor(entries = 8, flags: number = Open.RDWR, registered = true) {
    Deno.writeFileSync(this.path, this.content);
    this.fd = openFd(this.path, flags, "file");
    this.ring = new IoUring(this.fd, entries, registered);
  }

  /** Iovecs for ranges of `bytes`; the address of the first. */
  iovecs(...ranges: [start: number, length: number][]): number {
    const first = this.#iovec;
    for (const [start, length] of ranges) {
      const address = this.memory.address + start;
      this.#iovecs.set(this.#iovec++, address, length);
    }
    return this.#iovecs.addressOf(first);
  }

  /** Tag and result of the next completion, waiting for it. */
  next(): [tag: number, result: number] {
    let tag = this.ring.next();
    while (tag < 0) {
      this.ring.wait();
      tag = this.ring.next();
    }
    return [tag, this.ring.result];
  }

  [Symbol.dispose](): void {
    this.ring.close();
    closeFd(this.fd);
    this.memory.unmap();
    Deno.removeSync(this.path);
  }
}

Deno.test("IoUring: readv scatters over iovecs", () => {
  using setup = new RingSetup();
  const { ring, bytes, content } = setup;
  const iovecs = setup.iovecs([0x1_0000, 10], [0x2_0000, 500]);
  ring.readv(5, iovecs, 2, 1000);
  assert.equal(ring.next(), -1, "nothing before submit");
  ring.submit();
  assert.deepEqual(setup.next(), [5, 510]);
  assert.deepEqual(bytes.slice(0x1_0000, 0x1_000a), content.slice(1000, 1010));
  assert.deepEqual(
    bytes.slice(0x2_0000, 0x2_0000 + 500),
    content.slice(1010, 1510),
  );
  assert.equal(ring.next(), -1);
});

Deno.test("IoUring: writev, then fdatasync", () => {
  using setup = new RingSetup();
  const { ring, bytes } = setup;
  bytes.fill(0xaa, 0x1_0000, 0x1_0100);
  ring.writev(1, setup.iovecs([0x1_0000, 256]), 1, 300);
  ring.submit();
  assert.deepEqual(setup.next(), [1, 256]);
  ring.fdatasync(2);
  ring.submit();
  assert.deepEqual(setup.next(), [2, 0]);
  const file = Deno.readFileSync(setup.path);
  assert.equal(file.slice(300, 556).every((byte) => byte === 0xaa), true);
  assert.equal(file[299], setup.content[299]);
  assert.equal(file[556], setup.content[556]);
});

Deno.test("IoUring: a batch completes whole, each with its tag", () => {
  using setup = new RingSetup(64);
  const { ring } = setup;
  for (let tag = 0; tag < 64; tag++) {
    ring.readv(tag, setup.iovecs([0x1_0000 + tag * 16, 16]), 1, tag * 16);
  }
  assert.equal(ring.room, 0);
  ring.submit();
  assert.equal(ring.room, 64);
  const tags = Array.from({ length: 64 }, () => setup.next());
  tags.sort(([a], [b]) => a - b);
  assert.deepEqual(tags, Array.from({ length: 64 }, (_, i) => [i, 16]));
  const read = setup.bytes.slice(0x1_0000, 0x1_0400);
  assert.deepEqual(read, setup.content.slice(0, 1024));
});

Deno.test("IoUring: the rings wrap", () => {
  using setup = new RingSetup(4);
  const iovecs = setup.iovecs([0x1_0000, 4]);
  for (let i = 0; i < 1000; i++) {
    setup.ring.readv(i, iovecs, 1, i);
    setup.ring.submit();
    assert.deepEqual(setup.next(), [i, 4]);
    assert.equal(setup.bytes[0x1_0000], setup.content[i]);
  }
});

Deno.test("IoUring: offsets beyond 4 GiB", () => {
  using setup = new RingSetup();
  const { ring, bytes } = setup;
  const offset = 5 * 2 ** 30 + 512;
  bytes.fill(0x55, 0x1_0000, 0x1_0200);
  ring.writev(1, setup.iovecs([0x1_0000, 512]), 1, offset);
  ring.submit();
  assert.deepEqual(setup.next(), [1, 512]);
  assert.equal(Deno.statSync(setup.path).size, offset + 512);
});

Deno.test("IoUring: errors and short reads come as results", () => {
  using setup = new RingSetup(8, Open.RDONLY);
  const { ring } = setup;
  const iovecs = setup.iovecs([0x1_0000, 1024]);
  ring.readv(1, iovecs, 1, FILE_SIZE - 100);
  ring.readv(2, iovecs, 1, FILE_SIZE);
  ring.submit();
  const results = [setup.next(), setup.next()].sort(([a], [b]) => a - b);
  assert.deepEqual(results, [[1, 100], [2, 0]]);
  ring.writev(3, iovecs, 1, 0);
  ring.submit();
  const EBADF = 9;
  assert.deepEqual(setup.next(), [3, -EBADF]);
  ring.readv(4, 16, 1, 0); // iovecs at an address that isn't mapped
  ring.submit();
  const [tag, result] = setup.next();
  assert.equal(tag, 4);
  assert.equal(result, -14); // EFAULT
});

Deno.test("IoUring: completions signal the eventfd while asked to", () => {
  using setup = new RingSetup();
  using event = new EventFd();
  const { ring } = setup;
  ring.registerEventFd(event.fd);
  const iovecs = setup.iovecs([0x1_0000, 16]);
  ring.readv(1, iovecs, 1, 0);
  ring.submit();
  setup.next();
  assert.equal(event.drain(), true);
  ring.signalCompletions = false;
  ring.readv(2, iovecs, 1, 0);
  ring.submit();
  setup.next();
  assert.equal(event.drain(), false);
  ring.signalCompletions = true;
  ring.readv(3, iovecs, 1, 0);
  ring.submit();
  setup.next();
  assert.equal(event.drain(), true);
});

Deno.test("IoUring: a setup that fails leaves no descriptor", () => {
  const before = descriptorsOfProcess().size;
  assert.throws(() => new IoUring(9999, 8), {
    name: "SystemError",
    message: /io_uring: register file: EBADF/,
  });
  assert.throws(() => new IoUring(0, 0), { errno: Errno.EINVAL });
  assert.equal(descriptorsOfProcess().size, before);
});

Deno.test("IoUring: close leaves no descriptor", () => {
  const before = descriptorsOfProcess().size;
  for (let i = 0; i < 10; i++) {
    using _ = new RingSetup();
  }
  assert.equal(descriptorsOfProcess().size, before);
});

Deno.test("io_uring: works on a file that is not registered, too", () => {
  using setup = new RingSetup(8, Open.RDWR, false);
  const { ring, bytes, content } = setup;
  ring.readv(5, setup.iovecs([8192, 100]), 1, 300);
  ring.submit();
  assert.deepEqual(setup.next(), [5, 100]);
  assert.deepEqual(bytes.slice(8192, 8292), content.slice(300, 400));
});

Deno.test("io_uring: what was not submitted can be taken back", () => {
  using setup = new RingSetup();
  const { ring, bytes, content } = setup;
  for (let round = 0; round < 20; round++) {
    ring.readv(1, setup.iovecs([8192, 16]), 1, 0);
    ring.readv(2, setup.iovecs([8192, 16]), 1, 16);
    ring.discard();
    assert.equal(ring.unsubmitted, 0);
    ring.readv(3, setup.iovecs([12288, 16]), 1, 32 + round);
    ring.submit();
    assert.deepEqual(setup.next(), [3, 16]);
    assert.equal(ring.next(), -1);
    const expected = content.slice(32 + round, 48 + round);
    assert.deepEqual(bytes.slice(12288, 12304), expected);
  }
  assert.deepEqual(bytes.slice(8192, 8208), new Uint8Array(16));
});

Deno.test("io_uring: NOWAIT on a pipe without data is EAGAIN at once", () => {
  const nonblock = 0o4000;
  const ends = new Int32Array(2);
  const library = Deno.dlopen("libc.so.6", {
    pipe2: { parameters: ["buffer", "i32"], result: "i32" },
  });
  assert.equal(library.symbols.pipe2(ends, nonblock), 0);
  library.close();
  using memory = new Mapping(4096);
  const ring = new IoUring(ends[0]!, 4, false);
  new Iovecs(memory, 0, 1).set(0, memory.address + 64, 16);
  ring.readv(9, memory.address, 1, 0, RWF_NOWAIT);
  ring.submit();
  assert.deepEqual([ring.next(), ring.result], [9, -Errno.EAGAIN]);
  ring.close();
  closeFd(ends[0]!);
  closeFd(ends[1]!);
});
