/** Snapshots of what has changed, merged as Firecracker's users merge theirs. */
import assert from "node:assert/strict";
import { KVM, needing } from "../../ffi/testing/needs.ts";
import { until } from "../../ffi/testing/until.ts";
import { closeFd, Open, openFd } from "../../ffi/file.ts";
import { libc } from "../../ffi/libc.ts";
import { ECHOES } from "../../vmm/testing/tiny_guest.ts";
import { startGuest, TestFolder } from "../testing/guest.ts";
import { TestApi } from "../testing/test_api.ts";

const PAGE = 4096;
const MEMORY = 16 << 20;
const [FIRST, SECOND, THIRD] = [0x40_0000, 0x50_0000, 0x60_0000] as const;
const SEEK_DATA = 3, SEEK_HOLE = 4;

/** Where a sparse file has data. */
function dataOf(path: string): [from: number, to: number][] {
  const fd = openFd(path, Open.RDONLY, "memory");
  const runs: [number, number][] = [];
  try {
    for (let at = 0;;) {
      const from = Number(libc.lseek(fd, BigInt(at), SEEK_DATA));
      if (from < 0) return runs;
      at = Number(libc.lseek(fd, BigInt(from), SEEK_HOLE));
      runs.push([from, at]);
    }
  } finally {
    closeFd(fd);
  }
}

/** Lays a diff's data over a base: `snapshot-editor edit-memory rebase`. */
function rebase(base: string, diff: string): void {
  using target = Deno.openSync(base, { write: true });
  const bytes = Deno.readFileSync(diff);
  for (const [from, to] of dataOf(diff)) {
    target.seekSync(from, Deno.SeekMode.Start);
    target.writeSync(bytes.subarray(from, to));
  }
}

function sizeOfData(path: string): number {
  return dataOf(path).reduce((sum, [from, to]) => sum + to - from, 0);
}

async function fill(test: TestApi, at: number, value: number): Promise<void> {
  const page = new Uint8Array(PAGE).fill(value);
  await test.api.vm.machine.introspect(({ memory }) => memory.write(at, page));
}

/** The first byte of each page. */
async function pages(test: TestApi): Promise<number[]> {
  return await test.api.vm.machine.introspect(({ memory }) =>
    [FIRST, SECOND, THIRD].map((at) => memory.bytes(at, 1)[0]!)
  );
}

Deno.test(needing([KVM], {
  name:
    "API snapshot: a Diff has what changed since the last one, or since the load, and merges into it by its data",
  async fn() {
    using folder = new TestFolder();
    const files = (name: string) => ({
      snapshot_path: `${folder.path}/${name}.state`,
      mem_file_path: `${folder.path}/${name}.mem`,
    });
    const diff = (name: string) => ({ ...files(name), snapshot_type: "Diff" });
    const create = (test: TestApi, body: object) =>
      test.good("PUT", "/snapshot/create", body);
    const [a, b, c] = ["a", "b", "c"].map(files);
    {
      await using test = new TestApi();
      const kernel = folder.file("kernel", ECHOES);
      await startGuest(test, kernel, "", { track_dirty_pages: true });
      await until(() => test.output.includes("hi"), "hi");
      await test.good("PATCH", "/vm", { state: "Paused" });
      await fill(test, FIRST, 7);
      await create(test, diff("a")); // of nothing: it is all
      await fill(test, FIRST, 0); // zeros are a change, too
      await fill(test, SECOND, 9);
      await create(test, diff("b"));
    }
    assert.equal(Deno.statSync(b!.mem_file_path).size, MEMORY);
    const written = dataOf(b!.mem_file_path);
    for (const page of [FIRST, SECOND]) {
      assert.ok(written.some(([from, to]) => from <= page && page < to));
    }
    const size = sizeOfData(b!.mem_file_path);
    assert.ok(size < 64 * PAGE, `${size} bytes of data`);
    rebase(a!.mem_file_path, b!.mem_file_path);
    const merged = {
      snapshot_path: b!.snapshot_path,
      mem_file_path: a!.mem_file_path,
    };
    {
      await using test = new TestApi();
      await test.good("PUT", "/snapshot/load", {
        ...merged,
        track_dirty_pages: true,
      });
      assert.deepEqual(await pages(test), [0, 9, 0]);
      await fill(test, THIRD, 3);
      await create(test, diff("c"));
      const size = sizeOfData(c!.mem_file_path);
      assert.ok(size < 64 * PAGE, `${size} bytes of data`);
    }
    Deno.copyFileSync(a!.mem_file_path, `${folder.path}/d.mem`);
    rebase(`${folder.path}/d.mem`, c!.mem_file_path);
    await using test = new TestApi();
    await test.good("PUT", "/snapshot/load", {
      snapshot_path: c!.snapshot_path,
      mem_file_path: `${folder.path}/d.mem`,
      resume_vm: true,
    });
    assert.deepEqual(await pages(test), [0, 9, 3]);
    test.api.vm.machine.input(new TextEncoder().encode("goes on"));
    await until(() => test.output.includes("goes on"), "an echo");
    // Nobody tracks: a diff is all, as it must be.
    await test.good("PATCH", "/vm", { state: "Paused" });
    await create(test, diff("e"));
    const { snapshot_path, mem_file_path } = files("e");
    await using other = new TestApi();
    await other.good("PUT", "/snapshot/load", { snapshot_path, mem_file_path });
    assert.deepEqual(await pages(other), [0, 9, 3]);
  },
}));
