/** Calls of libc, those with a trampoline and those without. */
import assert from "node:assert/strict";
import { libc, lookUpNow } from "./libc.ts";

/** How many bytes can be run that are no file's: what Deno has compiled. */
function compiled(): number {
  let bytes = 0;
  for (const line of Deno.readTextFileSync("/proc/self/maps").split("\n")) {
    const [range = "", permissions, , device] = line.split(" ");
    if (permissions !== "r-xp" || device !== "00:00") continue;
    const [from = 0, to = 0] = range.split("-").map((hex) => parseInt(hex, 16));
    bytes += to - from;
  }
  return bytes;
}

Deno.test("libc: only what is hot is compiled", () => {
  const before = compiled();
  lookUpNow("sigaction", "mknod", "setns", "umount2", "flock", "getsockopt");
  assert.equal(compiled(), before);
  lookUpNow("recv");
  assert.ok(compiled() > before);
});

Deno.test("libc: every kind of parameter and result, compiled or not", () => {
  const path = new TextEncoder().encode("/proc/self/exe\0");
  const fd = libc.open(path, 0, 0); // a buffer, not compiled
  assert.ok(fd > 2);
  try {
    assert.equal(libc.lseek(fd, 4096n, 0), 4096n); // 64 bits both ways
    assert.equal(libc.lseek(fd, -1n, 0), -1n);
    const read = new Uint8Array(4);
    assert.equal(libc.pread(fd, read, 4, 1n), 4);
    assert.deepEqual(read.subarray(0, 3), new TextEncoder().encode("ELF"));
    const { pointer, address } = mapped(fd);
    const view = new Deno.UnsafePointerView(pointer);
    assert.equal(view.getUint32(0), 0x464c_457f);
    // Compiled: an address as an integer.
    assert.equal(libc.madvise_at(address, 4096, 0), 0);
    assert.equal(libc.munmap(pointer, 4096n), 0);
  } finally {
    assert.equal(libc.close(fd), 0);
  }
  assert.equal(libc.close(-1), -1);
});

/** A page of a file: six parameters, one of them null, and a pointer. */
function mapped(fd: number) {
  const pointer = libc.mmap(null, 4096n, 1, 2, fd, 0n)!;
  return { pointer, address: Deno.UnsafePointer.value(pointer) };
}
