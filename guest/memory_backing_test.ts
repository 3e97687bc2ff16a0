/** What guest RAM can be made of: huge pages, a file. */
import assert from "node:assert/strict";
import { closeFd, createMemoryFile } from "../ffi/file.ts";
import { mapFileOver } from "../ffi/memory/mmap.ts";
import { failingLocks } from "../ffi/testing/locks.ts";
import { mappingsOfProcess } from "../ffi/testing/mmap.ts";
import { MountedFolder } from "../ffi/testing/loop.ts";
import { needing, root } from "../ffi/testing/needs.ts";
import { GiB, Layout, MiB } from "./layout.ts";
import { GuestMemory } from "./memory.ts";
import { HugePages, POOL_SIZE } from "./testing/huge_pages.ts";

/** A folder that is removed at the end of its scope. */
class ScratchFolder implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "vireo-test-" });
  /** The path of a file in it. */
  readonly file = `${this.path}/memory`;

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

Deno.test("GuestMemory: regions begin at a multiple of 2 MiB, as their guest addresses do", () => {
  // Whatever else is mapped: sizes that leave odd gaps behind.
  for (const size of [4096, 3 * MiB + 4096, 5 * GiB]) {
    using memory = GuestMemory.allocate(size);
    for (const { hostAddress, guestAddress } of memory.regions) {
      assert.equal(hostAddress % (2 * MiB), 0);
      assert.equal(guestAddress % (2 * MiB), 0);
    }
  }
});

Deno.test("GuestMemory: 64 GiB cost nothing until they are used, and all can be", () => {
  using memory = GuestMemory.allocate(64 * GiB);
  const end = Layout.RAM_ABOVE_4G + 61 * GiB;
  assert.equal(memory.regions[1]!.end, end);
  for (const address of [0, 40 * GiB + 4, end - 4]) {
    memory.view(address, 4).setUint32(0, 0x5eed, true);
    const other = GuestMemory.attach(memory.handles());
    const region = other.find(address, 4)!;
    assert.equal(region.u32[(address - region.guestAddress) / 4], 0x5eed);
  }
  assert.equal(memory.find(end - 2, 4), undefined);
});

Deno.test("GuestMemory: a memory file has RAM in it, at its addresses without the hole", () => {
  using folder = new ScratchFolder();
  const size = 3 * GiB + 16 * MiB;
  {
    using memory = GuestMemory.allocate(size, { file: folder.file });
    memory.write(12345, Uint8Array.of(1));
    memory.write(Layout.RAM_ABOVE_4G + 5, Uint8Array.of(2));
    using file = Deno.openSync(folder.file, { write: true, read: true });
    const byte = new Uint8Array(1);
    for (const [offset, value] of [[12345, 1], [3 * GiB + 5, 2]]) {
      file.seekSync(offset!, Deno.SeekMode.Start);
      file.readSync(byte);
      assert.equal(byte[0], value);
    }
    file.seekSync(777, Deno.SeekMode.Start);
    file.writeSync(Uint8Array.of(3));
    assert.equal(memory.bytes(777, 1)[0], 3, "and the other way");
    memory.keepFile();
  }
  const { size: kept, blocks } = Deno.statSync(folder.file);
  assert.equal(kept, size);
  assert.ok(blocks! * 512 >= size, `${blocks} blocks: all is reserved`);
});

Deno.test("GuestMemory: what is discarded is a hole in the memory file", () => {
  using folder = new ScratchFolder();
  using memory = GuestMemory.allocate(4 * MiB, { file: folder.file });
  memory.bytes(0, 4 * MiB).fill(1);
  const before = Deno.statSync(folder.file).blocks!;
  assert.equal(memory.discard(MiB, 2 * MiB), true);
  assert.ok(Deno.statSync(folder.file).blocks! <= before - 2 * MiB / 512);
  assert.equal(memory.bytes(MiB, 1)[0], 0);
  assert.equal(memory.bytes(3 * MiB, 1)[0], 1);
});

Deno.test("GuestMemory: a file of that size is used again, and zero again", () => {
  using folder = new ScratchFolder();
  Deno.writeFileSync(folder.file, new Uint8Array(MiB).fill(0xff));
  {
    using memory = GuestMemory.allocate(MiB, { file: folder.file });
    assert.ok(memory.bytes(0, MiB).every((byte) => byte === 0));
  }
  assert.equal(Deno.statSync(folder.file).size, MiB, "not ours to remove");
});

Deno.test("GuestMemory: a file of another size stays as it is", () => {
  using folder = new ScratchFolder();
  Deno.writeTextFileSync(folder.file, "precious");
  assert.throws(
    () => GuestMemory.allocate(MiB, { file: folder.file }),
    /has 8 bytes, not the 1 MiB/,
  );
  assert.equal(Deno.readTextFileSync(folder.file), "precious");
});

Deno.test("GuestMemory: a new file goes when its machine was never made", () => {
  using folder = new ScratchFolder();
  GuestMemory.allocate(MiB, { file: folder.file }).free();
  assert.deepEqual([...Deno.readDirSync(folder.path)], []);
});

Deno.test("GuestMemory: what can't be a memory file is said in one line", () => {
  using folder = new ScratchFolder();
  const allocate = (file: string) => GuestMemory.allocate(MiB, { file });
  assert.throws(() => allocate(folder.path), /is not a regular file/);
  assert.throws(() => allocate("/dev/null"), /is not a regular file/);
  assert.throws(
    () => allocate(`${folder.path}/none/memory`),
    /open memory file ".*": ENOENT/,
  );
  using first = allocate(folder.file);
  assert.throws(() => allocate(folder.file), /another machine uses it/);
  assert.equal(first.size, MiB);
});

Deno.test("GuestMemory: a file system without locks is told apart from a file in use", () => {
  using folder = new ScratchFolder();
  const allocate = (file: string) => GuestMemory.allocate(MiB, { file });
  const ENOLCK = 37;
  using _locks = failingLocks(ENOLCK);
  assert.throws(
    () => allocate(folder.file),
    /^SystemError: lock memory file ".*": ENOLCK .*without a lock/,
  );
  assert.throws(() => Deno.statSync(folder.file), Deno.errors.NotFound);
});

Deno.test(needing([root("mounts a file system")], {
  name: "GuestMemory: a memory file is reserved at once, or refused in a line",
  fn() {
    using small = new MountedFolder("-t", "tmpfs", "-o", "size=2m", "test");
    const file = `${small.path}/memory`;
    const refusal = (size: number, reason: RegExp) =>
      assert.throws(() => GuestMemory.allocate(size, { file }), reason);
    refusal(
      4 * MiB,
      /^SystemError: memory file ".*": reserve 4 MiB: ENOSPC \(.*\); name one on a file system that has room, such as \/dev\/shm$/,
    );
    assert.deepEqual([...Deno.readDirSync(small.path)], [], "none is left");
    GuestMemory.allocate(MiB, { file }).free();

    // One that is there keeps what is in it.
    Deno.writeTextFileSync(file, "precious");
    Deno.truncateSync(file, 4 * MiB);
    refusal(4 * MiB, /ENOSPC/);
    using left = Deno.openSync(file);
    const text = new Uint8Array(8);
    left.readSync(text);
    assert.equal(new TextDecoder().decode(text), "precious");

    using other = new MountedFolder("-t", "ramfs", "test");
    const none = () =>
      GuestMemory.allocate(MiB, { file: `${other.path}/memory` });
    assert.throws(none, /reserve 1 MiB: EOPNOTSUPP/);
    assert.deepEqual([...Deno.readDirSync(other.path)], []);
  },
}));

Deno.test("GuestMemory: huge pages of which the host has too few are asked for", () => {
  // Nobody's pool has 2 TiB.
  const pool = () => GuestMemory.allocate(2 ** 41, { hugePagePool: true });
  assert.throws(
    pool,
    /1048576 huge pages of 2 MiB are needed.*nr_hugepages|has no huge pages/,
  );
  assert.throws(
    () => GuestMemory.allocate(3 * MiB, { hugePagePool: true }),
    /3 MiB are not a whole number of 2 MiB pages/,
  );
});

Deno.test(needing([POOL_SIZE], {
  name: "GuestMemory: RAM from the pool of huge pages",
  fn(): void {
    using _pages = new HugePages(4);
    using memory = GuestMemory.allocate(8 * MiB, { hugePagePool: true });
    memory.write(8 * MiB - 1, Uint8Array.of(9));
    assert.equal(memory.bytes(8 * MiB - 1, 1)[0], 9);
    const { hostAddress } = memory.regions[0]!;
    const own = mappingsOfProcess().find(({ start }) => start === hostAddress);
    assert.match(own!.name, /anon_hugepage/);
  },
}));

Deno.test("GuestMemory: what is discarded over a snapshot's file is zeros, not the file", () => {
  using memory = GuestMemory.allocate(4 * MiB);
  const fd = createMemoryFile("test", 4 * MiB);
  {
    using file = Deno.openSync(`/proc/self/fd/${fd}`, { write: true });
    const ones = new Uint8Array(4 * MiB).fill(1);
    for (let done = 0; done < ones.length;) {
      done += file.writeSync(ones.subarray(done));
    }
  }
  mapFileOver(memory.regions[0]!.hostAddress, 4 * MiB, fd, 0);
  closeFd(fd);
  memory.liesOverImage();
  memory.write(2 * MiB, Uint8Array.of(7));
  assert.equal(memory.discard(2 * MiB, 8192), true);
  assert.deepEqual(
    [...memory.bytes(2 * MiB - 1, 3)],
    [1, 0, 0],
  );
  assert.deepEqual([...memory.bytes(2 * MiB + 8191, 2)], [0, 1]);
  assert.equal(memory.discard(2 * MiB + 1, 4096), false);
  memory.write(2 * MiB, Uint8Array.of(9)); // the guest takes it again
  assert.equal(memory.bytes(2 * MiB, 1)[0], 9);
});
