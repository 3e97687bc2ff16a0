import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { CompressionFormat } from "./compression.ts";
import { inspectKernel } from "./inspect.ts";
import { KernelError } from "./error.ts";
import { openKernel } from "./image.ts";
import { Layout, MiB } from "../layout.ts";
import { KernelCommandLine } from "../boot/cmdline.ts";
import { loadKernel, setUpBoot } from "../boot/load.ts";
import { GuestMemory } from "../memory.ts";
import {
  buildElf,
  buildElf32,
  buildNote,
  TestSegmentType,
} from "../testing/mod.ts";
import {
  buildBzImage,
  pack,
  packersOf,
  TEST_CODE_OFFSET,
  TEST_PAYLOAD_OFFSET,
  withSize,
} from "../testing/bzimage.ts";
import { Random } from "../testing/random.ts";
import { needing } from "../../ffi/testing/needs.ts";

const RUNS = 2000;
const RAM = 32 * MiB;

/** Numbers at which a check that is off by one, or overflows, gives way. */
const EDGES = [
  ...[0, 1, 0x7f, 0x80, 0xff, 0x1ff, 0x200, 0xffff, 0x1_0000],
  ...[MiB - 1, MiB, RAM - 1, RAM, Layout.MMIO_HOLE, 0x7fff_ffff, 0xffff_ffff],
];

/** Several changes: bytes, 32-bit words within `headers`, a cut. */
function mutate(
  valid: Uint8Array,
  headers: readonly [from: number, to: number],
  random: Random,
): Uint8Array<ArrayBuffer> {
  const file = valid.slice();
  const view = new DataView(file.buffer);
  for (let changes = 1 + random.below(4); changes > 0; changes--) {
    if (random.oneIn(3)) {
      file[random.below(file.length)] = random.below(256);
    } else {
      const [from, to] = headers;
      const at = from + random.below(Math.min(to, file.length - 4) - from);
      view.setUint32(at, random.of(EDGES), true);
    }
  }
  return random.oneIn(8) ? file.slice(0, random.below(file.length)) : file;
}

const ELF = {
  segments: [
    { address: 0x100_0000n, bytes: new Uint8Array(3000).fill(1) },
    {
      address: 0x120_0000n,
      bytes: new TextEncoder().encode(
        "Linux version 1 IKCFG_ST\x1f\x8bIKCFG_ED",
      ),
      memorySize: 4096n,
    },
    {
      type: TestSegmentType.NOTE,
      bytes: buildNote("Xen", 18, new Uint8Array([4, 0, 0, 1])),
    },
  ],
};

/** Opens, loads and inspects; true when the kernel was taken. */
async function judge(
  memory: GuestMemory,
  file: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  try {
    await inspectKernel(file);
  } catch (error) {
    checkError(error);
  }
  try {
    using image = await openKernel(file, { limit: RAM });
    const kernel = loadKernel(memory, image);
    assert(kernel.lowest >= Layout.HIGH_MEMORY && kernel.end <= RAM);
    assert(kernel.entry >= kernel.lowest && kernel.entry < kernel.end);
    const low = memory.bytes(0, Layout.HIGH_MEMORY);
    assert(Buffer.compare(low, NOTHING) === 0, "boot data was overwritten");
    try {
      setUpBoot(memory, image, kernel, { commandLine, initrd: INITRD });
    } finally {
      low.fill(0);
    }
    return true;
  } catch (error) {
    checkError(error);
    return false;
  }
}

const NOTHING = new Uint8Array(Layout.HIGH_MEMORY);
const INITRD = new Uint8Array(5000);
const commandLine = new KernelCommandLine("x");

function checkError(error: unknown): void {
  if (!(error instanceof KernelError)) throw error;
  assert(!error.message.includes("\n"), error.message);
  assert(error.message.length < 300, error.message);
}

/** Judges `runs` mutations, and returns how many of them were taken. */
async function fuzz(
  runs: number,
  seed: number,
  valid: Uint8Array,
  headers: readonly [number, number],
): Promise<number> {
  using memory = GuestMemory.allocate(RAM, { hugePages: false });
  assert(await judge(memory, valid.slice()), "unchanged");
  const random = new Random(seed);
  let taken = 0;
  for (let run = 0; run < runs; run++) {
    const file = mutate(valid, headers, random);
    try {
      if (await judge(memory, file)) taken++;
    } catch (error) {
      throw new Error(`run ${run}`, { cause: error });
    }
  }
  assert(taken < runs, "some are refused");
  return taken;
}

Deno.test("loadKernel: mutated ELF headers of both word sizes", async () => {
  assert(await fuzz(RUNS, 1, buildElf(ELF), [0, 64 + 3 * 56]) > 0);
  assert(await fuzz(RUNS, 2, buildElf32(ELF), [0, 52 + 3 * 32]) > 0);
});

Deno.test("loadKernel: mutated bzImage headers, with a payload and without", async () => {
  assert(await fuzz(RUNS, 3, buildBzImage(), [0x1f1, 0x270]) > 0);
  const payload = await pack(buildElf(ELF), "gzip");
  assert(await fuzz(RUNS, 4, buildBzImage({ payload }), [0x1f1, 0x270]) > 0);
});

/** Those that need a program are started for each run. */
const COMPRESSED: [CompressionFormat, runs: number][] = [
  ["gzip", RUNS],
  ["zstd", RUNS],
  ["lz4", RUNS],
  ["xz", 200],
  ["lzma", 200],
  ["bzip2", 200],
  ["lzo", 200],
];

for (const [compression, runs] of COMPRESSED) {
  Deno.test(needing(packersOf(compression), {
    name:
      `loadKernel: mutated kernels in ${compression}, bare and in a bzImage`,
    async fn() {
      const elf = buildElf(ELF);
      const packed = await pack(elf, compression);
      await fuzz(runs / 2, 5, packed, [0, 64]);
      const payload = withSize(packed, compression, elf.length);
      const image = buildBzImage({ payload });
      const begin = TEST_CODE_OFFSET + TEST_PAYLOAD_OFFSET;
      await fuzz(runs / 2, 6, image, [begin, begin + 64]);
    },
  }));
}
