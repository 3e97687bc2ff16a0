/** Pages of a private mapping that are the process's own, and zeros over some. */
import assert from "node:assert/strict";
import { closeFd, createMemoryFile, Open, openFd } from "../file.ts";
import { libc } from "../libc.ts";
import { mapFileOver, Mapping } from "./mmap.ts";
import { type PageRange, privatePages } from "./pagemap.ts";
import { needing } from "../testing/needs.ts";
import { SCAN } from "../testing/program.ts";
import { ZeroCover } from "./zero_cover.ts";

const PAGE = 4096;
const PAGES = 4096;

/** Private memory over a file that is full of ones. */
class PrivateMemory implements Disposable {
  readonly #mapping = new Mapping(PAGES * PAGE);
  readonly address = this.#mapping.address;
  readonly u8 = new Uint8Array(this.#mapping.buffer);

  constructor() {
    const fd = createMemoryFile("test", PAGES * PAGE);
    try {
      {
        using file = Deno.openSync(`/proc/self/fd/${fd}`, { write: true });
        const ones = new Uint8Array(PAGES * PAGE).fill(1);
        for (let done = 0; done < ones.length;) {
          done += file.writeSync(ones.subarray(done));
        }
      }
      mapFileOver(this.address, PAGES * PAGE, fd, 0);
    } finally {
      closeFd(fd);
    }
  }

  own(): PageRange[] {
    return privatePages(this.address, PAGES * PAGE)!;
  }

  [Symbol.dispose](): void {
    this.#mapping[Symbol.dispose]();
  }
}

Deno.test(needing([SCAN], {
  name:
    "privatePages: what was written, by this process or by the kernel for it",
  fn() {
    using memory = new PrivateMemory();
    assert.deepEqual(memory.own(), []);
    assert.equal(memory.u8.reduce((a, b) => a + b), PAGES * PAGE);
    assert.deepEqual(memory.own(), [], "what was read is the file's");
    memory.u8[5 * PAGE + 7] = 2;
    memory.u8[9 * PAGE - 1] = 1; // the same as before
    const zero = openFd("/dev/zero", Open.RDONLY, "zeros");
    libc.read(zero, memory.u8.subarray(9 * PAGE, 11 * PAGE), BigInt(2 * PAGE));
    closeFd(zero);
    assert.deepEqual(memory.own(), [
      { from: 5 * PAGE, to: 6 * PAGE },
      { from: 8 * PAGE, to: 11 * PAGE },
    ]);
  },
}));

Deno.test(needing([SCAN], {
  name: "privatePages: thousands of ranges are all found",
  fn() {
    using memory = new PrivateMemory();
    for (let page = 0; page < PAGES; page += 2) memory.u8[page * PAGE] = 3;
    const own = memory.own();
    assert.equal(own.length, PAGES / 2);
    own.forEach(({ from, to }, i) => {
      assert.deepEqual([from, to], [2 * i * PAGE, (2 * i + 1) * PAGE]);
    });
  },
}));

Deno.test(needing([SCAN], {
  name: "ZeroCover: reads zeros, takes no memory, and is the process's own",
  fn() {
    using memory = new PrivateMemory();
    const cover = new ZeroCover();
    const at = (page: number) => memory.address + page * PAGE;
    memory.u8.fill(7, 20 * PAGE, 24 * PAGE);
    cover.cover(at(22), 4 * PAGE);
    assert.ok(memory.u8.subarray(22 * PAGE, 26 * PAGE).every((b) => b === 0));
    assert.deepEqual(memory.own(), [{ from: 20 * PAGE, to: 26 * PAGE }]);
    assert.equal(memory.u8[26 * PAGE], 1);
    assert.equal(memory.u8[21 * PAGE], 7);
    memory.u8[23 * PAGE] = 9; // the guest takes it again
    assert.equal(memory.u8[23 * PAGE], 9);
    cover.cover(at(23), PAGE);
    assert.equal(memory.u8[23 * PAGE], 0);
    assert.equal(cover.pieces, 1);
    cover.cover(at(30), PAGE);
    assert.equal(cover.pieces, 2);
    cover.cover(at(26), 4 * PAGE);
    assert.equal(cover.pieces, 1, "neighbours are one");
  },
}));

Deno.test(needing([SCAN], {
  name: "ZeroCover: beyond 1024 pieces it writes zeros",
  fn() {
    using memory = new PrivateMemory();
    const cover = new ZeroCover();
    for (let page = 0; page < PAGES; page += 2) {
      cover.cover(memory.address + page * PAGE, PAGE);
    }
    assert.equal(cover.pieces, 1024);
    for (let page = 0; page < PAGES; page++) {
      assert.equal(memory.u8[page * PAGE], page % 2, `page ${page}`);
    }
    assert.equal(memory.own().length, PAGES / 2);
  },
}));

Deno.test(needing([SCAN], {
  name: "ZeroCover: any pieces in any order are zeros, and nothing else is",
  fn() {
    let seed = 11;
    const below = (limit: number) =>
      (seed = (seed * 1103515245 + 12345) % 2 ** 31) % limit;
    for (let round = 0; round < 20; round++) {
      using memory = new PrivateMemory();
      const cover = new ZeroCover();
      const zero = new Set<number>();
      for (let i = 0; i < 40; i++) {
        const first = below(PAGES - 16);
        const count = 1 + below(16);
        cover.cover(memory.address + first * PAGE, count * PAGE);
        for (let page = first; page < first + count; page++) zero.add(page);
      }
      let pieces = 0;
      for (let page = 0; page < PAGES; page++) {
        assert.equal(memory.u8[page * PAGE + 5], zero.has(page) ? 0 : 1);
        if (zero.has(page) && !zero.has(page - 1)) pieces++;
      }
      assert.equal(cover.pieces, pieces);
    }
  },
}));
