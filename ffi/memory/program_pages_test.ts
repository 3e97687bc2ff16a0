/** The program's own pages, let go of, and used again. */
import assert from "node:assert/strict";
import { needing } from "../testing/needs.ts";
import {
  programMappings,
  readProgram,
  residentProgram,
  SCAN,
} from "../testing/program.ts";
import { privatePages } from "./pagemap.ts";
import { letGoOfProgram } from "./program_pages.ts";

const PAGE = 4096;

Deno.test(needing([SCAN], {
  name: "letGoOfProgram: less of the program is in memory, and it goes on",
  fn() {
    readProgram();
    const before = residentProgram();
    assert.ok(letGoOfProgram() > 0);
    const after = residentProgram();
    assert.ok(after < before / 2, `${before} KiB, then ${after}`);
    assert.equal(JSON.parse("[1, 2]").length, 2);
  },
}));

Deno.test(needing([SCAN], {
  name: "letGoOfProgram: a page that was written to stays as it was written",
  fn() {
    const { start, size } = programMappings().find(({ mode }) =>
      mode === "r--p"
    )!;
    const own = () => privatePages(start, size)!;
    const before = own().length;
    // As a debugger does: the page is the process's own afterwards. It is the
    // ELF header's, of which these bytes mean nothing.
    using memory = Deno.openSync("/proc/self/mem", { read: true, write: true });
    const PADDING = 9, LENGTH = 7;
    memory.seekSync(start + PADDING, Deno.SeekMode.Start);
    const written = Uint8Array.from({ length: LENGTH }, (_, i) => i + 1);
    assert.equal(memory.writeSync(written), LENGTH);
    assert.equal(own().length, before + 1);
    letGoOfProgram();
    assert.deepEqual(own()[0], { from: 0, to: PAGE });
    const read = new Uint8Array(LENGTH);
    memory.seekSync(start + PADDING, Deno.SeekMode.Start);
    memory.readSync(read);
    assert.deepEqual(read, written);
  },
}));
