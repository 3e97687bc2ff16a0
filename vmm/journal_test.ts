/** What a guest's FLUSH has confirmed outlives the machine's sudden death. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { KVM, needing } from "../ffi/testing/needs.ts";
import { ScratchFile } from "./testing/mod.ts";

const PROGRAM = fileURLToPath(new URL("testing/journal.ts", import.meta.url));
const BLOCK = 4096, BLOCKS = 1024;
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
    if (killed || !/^journal: \d+$/m.test(text)) continue;
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
        const bytes = await Deno.readFile(disk.path);
        for (const n of numbers.slice(-BLOCKS + 1)) {
          const at = (n % BLOCKS) * BLOCK;
          const block = new DataView(bytes.buffer, at, BLOCK);
          assert.ok(isWhole(block, n), `block ${n} was reported`);
        }
      }
    },
  }));
}
