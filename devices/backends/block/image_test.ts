/** Raw images: what can be opened, and what backends do with it. */
import assert from "node:assert/strict";
import { Errno, VireoError } from "../../../ffi/errno.ts";
import { closeFd, Open, openFd, tryLock } from "../../../ffi/file.ts";
import { Iovecs } from "../../../ffi/iovecs.ts";
import { Mapping } from "../../../ffi/memory/mmap.ts";
import { failingLocks } from "../../../ffi/testing/locks.ts";
import { descriptorsOfProcess } from "../../../ffi/testing/mmap.ts";
import { SystemCalls } from "../../../ffi/testing/system_calls.ts";
import { AutoBackend } from "./auto.ts";
import type { BlockBackend } from "./backend.ts";
import { rawBackend } from "./engine.ts";
import { closeRawImage, openRawImage } from "./open_image.ts";
import type { RawImage } from "./image.ts";
import { UringBackend } from "./uring.ts";
import { SyncBackend } from "./sync.ts";

/** A directory that ends with the test. */
class Files implements Disposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "vireo-raw-" });

  path(name: string): string {
    return `${this.directory}/${name}`;
  }

  file(name: string, size: number): string {
    Deno.writeFileSync(this.path(name), new Uint8Array(size).fill(0x61));
    return this.path(name);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

/** The message with which opening `path` fails; no descriptor stays open. */
function refusal(path: string, readOnly = false): string {
  const before = descriptorsOfProcess().size;
  try {
    closeRawImage(openRawImage({ path, readOnly }));
  } catch (error) {
    assert.ok(error instanceof VireoError, String(error));
    assert.equal(descriptorsOfProcess().size, before);
    assert.doesNotMatch(error.message, /\n/, "one line");
    assert.ok(error.message.includes(path), "names the file");
    return error.message;
  }
  assert.fail(`${path} was opened`);
}

Deno.test("openRawImage: size, sector size, and no change to the file", () => {
  using files = new Files();
  const path = files.file("disk", 2048);
  const before = Deno.statSync(path).mtime;
  const image = openRawImage({ path });
  assert.equal(image.size, 2048);
  assert.equal(image.blockSize, 512);
  assert.equal(image.readOnly, false);
  closeRawImage(image);
  assert.equal(Deno.statSync(path).size, 2048);
  assert.deepEqual(Deno.statSync(path).mtime, before);
});

Deno.test("openRawImage: missing, a directory, a fifo, a device that is no disk", () => {
  using files = new Files();
  assert.match(refusal(files.path("none")), /no such file/);
  assert.match(refusal(files.directory), /is a directory/);
  assert.match(refusal("/dev/null"), /not a file or block device/);
  const fifo = files.path("fifo");
  new Deno.Command("mkfifo", { args: [fifo] }).outputSync();
  assert.match(refusal(fifo), /not a file or block device/);
});

Deno.test("openRawImage: an empty file, and a size that is not whole sectors", () => {
  using files = new Files();
  const empty = refusal(files.file("empty", 0));
  assert.match(empty, /is empty/);
  for (const size of [1, 511, 513]) {
    const message = refusal(files.file("odd", size));
    assert.ok(message.includes(`${size} bytes`));
    assert.match(message, /truncate -s %512/);
  }
});

Deno.test("openRawImage: a writer excludes all others, readers share", () => {
  using files = new Files();
  const path = files.file("disk", 512);
  const writer = openRawImage({ path });
  assert.match(refusal(path), /another machine uses it/);
  assert.match(refusal(path, true), /uses it for writing/);
  closeRawImage(writer);
  const readers = [1, 2].map(() => openRawImage({ path, readOnly: true }));
  assert.match(refusal(path), /add ,ro to both/);
  readers.forEach(closeRawImage);
  closeRawImage(openRawImage({ path }));
});

Deno.test("openRawImage: read-only images are never opened for writing", () => {
  using files = new Files();
  const path = files.file("disk", 512);
  const image = openRawImage({ path, readOnly: true });
  const flags = Deno.readTextFileSync(`/proc/self/fdinfo/${image.fd}`)
    .match(/flags:\s+(\d+)/)![1]!;
  assert.equal(parseInt(flags, 8) & 3, Open.RDONLY);
  closeRawImage(image);
});

Deno.test("closeRawImage: the lock ends even while an io_uring holds the file", () => {
  using files = new Files();
  const path = files.file("disk", 4096);
  const image = openRawImage({ path });
  const backend = rawBackend(image, 8);
  const other = openFd(path, Open.RDWR, "disk");
  assert.equal(tryLock(other, true, "disk"), false);
  closeRawImage(image);
  assert.equal(tryLock(other, true, "disk"), true);
  closeFd(other);
  backend.close();
});

Deno.test("rawBackend: Sync makes blocking calls, O_DIRECT goes to the ring", () => {
  using files = new Files();
  const image = openRawImage({ path: files.file("disk", 4096) });
  const backend = rawBackend(image, 8, "Sync");
  assert.ok(backend instanceof SyncBackend);
  backend.close();
  closeRawImage(image);
  for (const [direct, engine] of [[true, "Auto"], [false, "Async"]] as const) {
    const path = files.file("other", 4096);
    const image = openRawImage({ path, direct });
    const ring = rawBackend(image, 8, engine);
    assert.ok(ring instanceof UringBackend && !(ring instanceof AutoBackend));
    ring.close();
    closeRawImage(image);
  }
});

Deno.test("openRawImage: a file system without locks is told apart from an image in use", () => {
  using files = new Files();
  const path = files.file("disk", 4096);
  const before = descriptorsOfProcess().size;
  for (const readOnly of [false, true]) {
    const ENOLCK = 37;
    using _locks = failingLocks(ENOLCK);
    assert.throws(
      () => openRawImage({ path, readOnly }),
      /^SystemError: lock disk ".*disk": ENOLCK \(No locks available\); without a lock .*file system/,
    );
    assert.equal(descriptorsOfProcess().size, before);
  }
  using _locks = failingLocks(Errno.EAGAIN);
  assert.match(refusal(path), /another machine uses it/);
});

Deno.test("rawBackend: a ring of which a part can't be had leaves nothing behind", () => {
  using files = new Files();
  const image = openRawImage({ path: files.file("disk", 4096) });
  using calls = new SystemCalls();
  rawBackend(image, 8).close(); // what is opened once and kept
  const before = descriptorsOfProcess().size;
  const mapped = calls.mapped.length;
  for (const engine of ["Auto", "Async"] as const) {
    const failed: string[] = [];
    for (let n = 0;; n++) {
      calls.failAt(n);
      const backend = rawBackend(image, 8, engine);
      if (calls.failed === undefined) {
        backend.close();
        break;
      }
      failed.push(calls.failed);
      assert.ok(backend instanceof SyncBackend, `${calls.failed} failed`);
      assert.equal(descriptorsOfProcess().size, before, calls.failed);
      assert.equal(calls.mapped.length, mapped, calls.failed);
      backend.close();
    }
    assert.deepEqual(new Set(failed), new Set(FOR_A_RING));
  }
  closeRawImage(image);
});

const FOR_A_RING = ["io_uring_setup", "mmap", "io_uring_register", "eventfd"];

/** Reads and writes over iovecs at fixed places. */
function exercise(make: (image: RawImage) => BlockBackend): void {
  using files = new Files();
  const path = files.file("disk", 4096);
  const image = openRawImage({ path });
  const backend = make(image);
  using memory = new Mapping(4096);
  const bytes = new Uint8Array(memory.buffer);
  const iovecs = new Iovecs(memory, 0, 2);
  const finish = () => {
    backend.submit();
    let tag = backend.next();
    while (tag < 0) {
      backend.wait();
      tag = backend.next();
    }
    return [tag, backend.result];
  };
  iovecs.set(0, memory.address + 1024, 100);
  iovecs.set(1, memory.address + 2048, 412);
  bytes.fill(0x42, 1024, 1124);
  bytes.fill(0x43, 2048, 2460);

  assert.equal(backend.size, 4096);
  backend.writev(7, memory.address, 2, 512, true);
  assert.deepEqual(finish(), [7, 512]);
  backend.flush(8);
  assert.deepEqual(finish(), [8, 0]);
  const file = Deno.readFileSync(path);
  assert.deepEqual(
    [file[511], file[512], file[611], file[612], file[1023], file[1024]],
    [0x61, 0x42, 0x42, 0x43, 0x43, 0x61],
  );

  bytes.fill(0, 1024, 4096);
  backend.readv(9, memory.address, 2, 512);
  assert.deepEqual(finish(), [9, 512]);
  assert.deepEqual([bytes[1024], bytes[2459]], [0x42, 0x43]);
  backend.readv(10, memory.address, 2, 4096 - 99);
  assert.deepEqual(finish(), [10, 99]);
  backend.readv(11, 16, 1, 0); // iovecs at an address that isn't mapped
  assert.deepEqual(finish(), [11, -14]); // EFAULT
  assert.equal(backend.next(), -1);
  backend.close();
  closeRawImage(image);
}

Deno.test("UringBackend: reads, writes, flushes, errors", () => {
  exercise((image) => new UringBackend(image, 8));
});

Deno.test("AutoBackend: reads, writes, flushes, errors", () => {
  exercise((image) => new AutoBackend(image, 8));
});

Deno.test("AutoBackend: after a write that waited, the ring has them for a while", () => {
  using files = new Files();
  const image = openRawImage({ path: files.file("disk", 4096) });
  let now = 1000;
  let took = 0;
  let slept = 0;
  let sleeps = 0; // between two looks
  const backend = new AutoBackend(image, 8, {
    now: () => now += took,
    waits: () => slept += sleeps,
  });
  using memory = new Mapping(4096);
  const iovecs = new Iovecs(memory, 0, 1);
  iovecs.set(0, memory.address + 1024, 512);
  /** True when the write is done before anything is submitted. */
  const isInline = (durable = false) => {
    backend.writev(1, memory.address, 1, 0, durable);
    const inline = backend.next() === 1;
    backend.submit();
    for (let tag = inline ? 1 : -1; tag < 0; tag = backend.next()) {
      backend.wait();
    }
    assert.equal(backend.result, 512);
    return inline;
  };
  took = 1; // with two looks at the clock, a write takes that long
  assert.ok(isInline());
  assert.ok(!isInline(true), "which waits for the disk in any case");
  took = 10;
  assert.ok(isInline());
  assert.ok(isInline(), "the first to take long says nothing");
  assert.ok(isInline(), "others had the core meanwhile");
  sleeps = 1;
  assert.ok(isInline());
  took = 0;
  assert.ok(!isInline());
  now += 150;
  assert.ok(!isInline(), "twenty times as long as it took");
  now += 60;
  assert.ok(isInline());
  backend.close();
  closeRawImage(image);
});

Deno.test("AutoBackend: many writes are timed together, but not on a slow disk", () => {
  using files = new Files();
  const image = openRawImage({ path: files.file("disk", 4096) });
  let now = 1000;
  let looks = 0;
  let took = 0;
  let sleeps = 0;
  const backend = new AutoBackend(image, 64, {
    now: () => (looks++, now += took),
    waits: () => sleeps += took,
  });
  using memory = new Mapping(4096);
  const iovecs = new Iovecs(memory, 0, 1);
  iovecs.set(0, memory.address + 1024, 512);
  /** How many of 40 writes of one batch were done before it was submitted. */
  const inline = () => {
    looks = 0;
    for (let i = 0; i < 40; i++) backend.writev(i, memory.address, 1, 0, false);
    let done = 0;
    while (backend.next() >= 0) done++;
    backend.submit();
    for (let left = 40 - done; left > 0;) {
      if (backend.next() >= 0) left--;
      else backend.wait();
    }
    return done;
  };
  assert.equal(inline(), 40);
  assert.equal(looks, 4, "at the beginning, after 16, after 32, at the end");
  took = 10;
  assert.equal(inline(), 17, "16 have taken long, and the next one has waited");
  assert.equal(inline(), 0, "the ring has them for a while");
  backend.close();
  closeRawImage(image);
});

Deno.test("SyncBackend: reads, writes, flushes, errors", () => {
  exercise((image) => new SyncBackend(image, 8));
});

Deno.test("SyncBackend: completions come in order, past its capacity many times", () => {
  using files = new Files();
  const image = openRawImage({ path: files.file("disk", 512) });
  const backend = new SyncBackend(image, 4);
  for (let i = 0; i < 40; i += 2) {
    backend.flush(i);
    backend.flush(i + 1);
    assert.deepEqual([backend.next(), backend.next()], [i, i + 1]);
    assert.equal(backend.next(), -1);
  }
  closeRawImage(image);
});

Deno.test("UringBackend: closing leaves no descriptor", () => {
  using files = new Files();
  const image = openRawImage({ path: files.file("disk", 512) });
  const before = descriptorsOfProcess().size;
  const backend = new UringBackend(image, 8);
  backend.flush(1);
  backend.submit();
  while (backend.next() < 0) backend.wait();
  backend.acknowledge();
  backend.close();
  closeRawImage(image);
  assert.equal(descriptorsOfProcess().size, before - 1);
});
