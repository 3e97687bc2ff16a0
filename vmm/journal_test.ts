/** What a guest's FLUSH has confirmed outlives the machine's sudden death. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { ScratchFile } from "./testing/mod.ts";

const PROGRAM = fileURLToPath(new URL("testing/journal.ts", import.meta.url));
const BLOCK = 4096, BLOCKS = 16384;
/**
 * The guest may be so many records further than was heard of: its serial port
 * keeps 64 KiB of lines, the shortest of which have 11 bytes, for a reader that
 * is late. What it has written since lies over the blocks of the oldest.
 */
const UNHEARD = Math.ceil(64 * 1024 / 11) + 2;
const KILLS = 10;

/** The numbers that a guest reported until it was killed. */
async function reported(path: string, how: string): Promise<number[]> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", PROGRAM, path, how],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let text = "";
  let killed = false;
  for await (
    const chunk of child.stdout.pipeThrough(new TextDecoderStream())
  ) {
    text += chunk;
    // With its end: less than a line is not reported.
    if (killed || !/^journal: \d+\r?\n/m.test(text)) continue;
    // In the midst of a write, a flush or a report: at any moment.
    killed = true;
    setTimeout(() => child.kill("SIGKILL"), Math.random() * 200);
  }
  await child.status;
  const complete = text.slice(0, text.lastIndexOf("\n") + 1);
  return [...complete.matchAll(/^journal: (\d+)\r?$/gm)].map(([, n]) =>
    Number(n)
  );
}

/** Block `n` is whole: its words count up from `n`. */
function isWhole(block: DataView, n: number): boolean {
  for (let i = 0; i < BLOCK / 8; i++) {
    if (block.getBigUint64(8 * i, true) !== BigInt(n + i)) return false;
  }
  return true;
}

for (const how of ["direct", "cached"]) {
  Deno.test(needing([KVM], {
    name: `kill -9, ${KILLS} times: every flushed block is there, ${how}`,
    fn: async () => {
      for (let kill = 0; kill < KILLS; kill++) {
        using disk = new ScratchFile(BLOCK * BLOCKS);
        const numbers = await reported(disk.path, how);
        assert.ok(numbers.length > 0);
        assert.deepEqual(numbers, [...numbers.keys()]);
        using file = Deno.openSync(disk.path);
        const block = new DataView(new ArrayBuffer(BLOCK));
        for (const n of numbers.slice(-BLOCKS + UNHEARD)) {
          file.seekSync((n % BLOCKS) * BLOCK, Deno.SeekMode.Start);
          assert.equal(file.readSync(new Uint8Array(block.buffer)), BLOCK);
          assert.ok(isWhole(block, n), `block ${n} was reported`);
        }
      }
    },
  }));
}
