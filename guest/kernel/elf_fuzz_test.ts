import assert from "node:assert/strict";
import { KernelError } from "./error.ts";
import { Layout, MiB } from "../layout.ts";
import { GuestMemory } from "../memory.ts";
import { loadTestElf } from "../testing/elf.ts";
import { buildElf, buildNote, TestSegmentType } from "../testing/mod.ts";

const RUNS = 5000;
const RAM = 32 * MiB;

/** Numbers at which a check that is off by one, or overflows, gives way. */
const EDGES = [
  0n,
  1n,
  8n,
  0xfffffn,
  0x100000n,
  BigInt(RAM) - 1n,
  BigInt(RAM),
  BigInt(Layout.MMIO_HOLE),
  1n << 32n,
  (1n << 52n) - 1n,
  1n << 53n,
  1n << 63n,
  (1n << 64n) - 1n,
];

/** mulberry32: the same numbers in every run. */
function randomFrom(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const VALID = buildElf({
  segments: [
    { address: 0x100_0000n, bytes: new Uint8Array(64).fill(1) },
    {
      address: 0x120_0000n,
      virtualAddress: 0xffff_ffff_8120_0000n,
      bytes: new Uint8Array(64).fill(2),
      memorySize: 4096n,
    },
    {
      type: TestSegmentType.NOTE,
      bytes: buildNote("Xen", 18, new Uint8Array([4, 0, 0, 1])),
    },
  ],
});
const HEADERS = 64 + 3 * 56;

function mutate(random: (below: number) => number): Uint8Array<ArrayBuffer> {
  const file = VALID.slice();
  const view = new DataView(file.buffer);
  for (let changes = 1 + random(4); changes > 0; changes--) {
    if (random(2) === 0) {
      file[random(file.length)] = random(256);
    } else {
      const at = 8 * random(HEADERS / 8);
      view.setBigUint64(at, EDGES[random(EDGES.length)]!, true);
    }
  }
  return random(8) === 0 ? file.slice(0, random(file.length)) : file;
}

Deno.test("loadElf: mutated headers end in a kernel or a KernelError, and never reach the boot data", () => {
  using memory = GuestMemory.allocate(RAM, { hugePages: false });
  const random = randomFrom(0x5eed);
  let taken = 0;
  for (let run = 0; run < RUNS; run++) {
    const file = mutate(random);
    try {
      const { entry, lowest, end, pvhEntry = entry } = loadTestElf(
        memory,
        file,
      );
      taken++;
      assert(lowest >= Layout.HIGH_MEMORY && end <= RAM);
      for (const address of [entry, pvhEntry]) {
        assert(address >= lowest && address < end, `run ${run}`);
      }
    } catch (error) {
      if (!(error instanceof KernelError)) {
        throw new Error(`run ${run}`, { cause: error });
      }
      assert(!error.message.includes("\n"));
    }
  }
  assert(taken > 0 && taken < RUNS, "some of each");
  assert(memory.bytes(0, Layout.HIGH_MEMORY).every((byte) => byte === 0));
});

Deno.test("loadElf: a mutated file is judged as its bytes are", async () => {
  const path = await Deno.makeTempFile();
  const random = randomFrom(7);
  const judge = (memory: GuestMemory, file: string | Uint8Array): string => {
    try {
      return JSON.stringify(loadTestElf(memory, file));
    } catch (error) {
      assert(error instanceof KernelError, String(error));
      return error.message.replace(/^(kernel ".*?"|embedded kernel): /, "");
    }
  };
  try {
    using memory = GuestMemory.allocate(RAM, { hugePages: false });
    for (let run = 0; run < 300; run++) {
      const file = mutate(random);
      Deno.writeFileSync(path, file);
      assert.equal(judge(memory, path), judge(memory, file), `run ${run}`);
    }
  } finally {
    await Deno.remove(path);
  }
});
