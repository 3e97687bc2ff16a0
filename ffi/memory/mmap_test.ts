/** Memory outside the JavaScript heap. */
import assert from "node:assert/strict";
import { closeFd, Open, openFd } from "../file.ts";
import { Madvise, MapFlag, Mapping, viewOf } from "./mmap.ts";
import { mappingsOfProcess } from "../testing/mmap.ts";

/** The part of the process's mappings that holds `address`. */
function mapped(address: number): boolean {
  return mappingsOfProcess().some(({ start, size }) =>
    address >= start && address < start + size
  );
}

Deno.test("Mapping: anonymous memory is zero, writable, and seen by viewOf", () => {
  using mapping = new Mapping(8192);
  const bytes = new Uint8Array(mapping.buffer);
  assert.equal(bytes.length, 8192);
  assert.equal(bytes.every((byte) => byte === 0), true);
  bytes[8191] = 7;
  assert.equal(new Uint8Array(viewOf(mapping.address, 8192))[8191], 7);
  const value = Deno.UnsafePointer.value(mapping.pointer);
  assert.equal(BigInt(value), BigInt(mapping.address));
  assert.equal(mapping.advise(Madvise.DONTNEED), true);
  assert.equal(bytes[8191], 0);
});

Deno.test("Mapping: unmap gives the range back, once", () => {
  const mapping = new Mapping(1 << 20);
  assert.equal(mapped(mapping.address), true);
  mapping.unmap();
  assert.equal(mapped(mapping.address), false);
  mapping.unmap();
});

Deno.test("Mapping: a hundred mappings leave nothing behind", () => {
  const addresses: number[] = [];
  for (let i = 0; i < 100; i++) {
    using mapping = new Mapping(1 << 24, {
      flags: MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.NORESERVE,
    });
    addresses.push(mapping.address);
  }
  const size16MiB = mappingsOfProcess().filter(({ start, size }) =>
    size >= 1 << 24 && addresses.includes(start)
  );
  assert.deepEqual(size16MiB, []);
});

Deno.test("Mapping: a shared file mapping writes to the file, from its offset", () => {
  const path = Deno.makeTempFileSync();
  Deno.truncateSync(path, 8192);
  const fd = openFd(path, Open.RDWR, "file");
  try {
    using mapping = new Mapping(4096, { fd, offset: 4096 });
    new Uint8Array(mapping.buffer)[3] = 99;
    assert.equal(Deno.readFileSync(path)[4099], 99);
  } finally {
    closeFd(fd);
    Deno.removeSync(path);
  }
});

Deno.test("Mapping: a guard before and behind faults, and goes with the range", () => {
  const size = 12_288, guard = 65_536;
  const rights = (address: number) =>
    Deno.readTextFileSync("/proc/self/maps").split("\n")
      .map((line) => /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line))
      .find((match) =>
        match && address >= parseInt(match[1]!, 16) &&
        address < parseInt(match[2]!, 16)
      )?.[3];
  for (const alignment of [undefined, 2 << 20]) {
    const mapping = new Mapping(size, { guard, alignment });
    const { address } = mapping;
    assert.equal(address % (alignment ?? 4096), 0);
    assert.equal(rights(address - guard), "---p");
    assert.equal(rights(address - 1), "---p");
    assert.equal(rights(address), "rw-p");
    assert.equal(rights(address + size - 1), "rw-p");
    assert.equal(rights(address + size), "---p");
    assert.equal(rights(address + size + guard - 1), "---p");
    mapping.unmap();
    for (const at of [address - guard, address, address + size]) {
      assert.notEqual(rights(at), "rw-p");
    }
  }
});

Deno.test("Mapping: what the kernel refuses is an error with size and name", () => {
  assert.throws(() => new Mapping(0), /mmap 0 bytes of memory: EINVAL/);
  assert.throws(
    () => new Mapping(4096, { fd: 9999, name: "rings" }),
    /mmap 4096 bytes of rings: EBADF/,
  );
  assert.throws(() => viewOf(0, 8), RangeError);
});
