/** glibc gives memory back. */
import assert from "node:assert/strict";

/** Whether blocks are mapped by themselves, in a process that has freed none. */
const PROGRAM = `
import { giveMemoryBack } from "${new URL("malloc.ts", import.meta.url)}";
const { malloc, free, mallinfo2 } = Deno.dlopen("libc.so.6", {
  malloc: { parameters: ["usize"], result: "pointer" },
  free: { parameters: ["pointer"], result: "void" },
  mallinfo2: { parameters: [], result: { struct: Array(10).fill("usize") } },
}).symbols;
const mapped = () => new BigUint64Array(mallinfo2().slice().buffer)[4]; // hblkhd
const isMapped = (size) => {
  const before = mapped();
  const block = malloc(size);
  const more = mapped() - before;
  free(block);
  return more >= size;
};
if (Deno.args[0] === "give back") giveMemoryBack();
const sizes = [24n, 16n, 24n].map((MiB) => MiB << 20n);
console.log(JSON.stringify(sizes.map(isMapped)));
`;

Deno.test("code runner: large blocks are mapped by themselves, whatever was freed before", async () => {
  const run = async (word: string) => {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["eval", PROGRAM, word],
    }).output();
    return JSON.parse(new TextDecoder().decode(stdout));
  };
  // What is freed raises the limit, unless it is told to stay.
  assert.deepEqual(await run("as it is"), [true, false, false]);
  assert.deepEqual(await run("give back"), [true, true, true]);
});
