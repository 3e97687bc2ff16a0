/** Real files that fail under a disk: no space, and a file that shrinks. */
import assert from "node:assert/strict";
import { needing, root } from "../../../ffi/testing/needs.ts";
import { MiB } from "../../../guest/layout.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { AutoBackend } from "../../backends/block/auto.ts";
import {
  closeRawImage,
  openRawImage,
} from "../../backends/block/open_image.ts";
import type { RawImage } from "../../backends/block/image.ts";
import { UringBackend } from "../../backends/block/uring.ts";
import { SyncBackend } from "../../backends/block/sync.ts";
import { BlkStatus } from "./spec.ts";
import { BlkDriver } from "../testing/blk.ts";

const SECTOR = 512;
const DISK = MiB;

/** A file system of 64 KiB in memory. */
class SmallFileSystem implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "vireo-full-" });

  constructor() {
    const options = ["-t", "tmpfs", "-o", "size=64k", "vireo-test"];
    const { success, stderr } = run("mount", ...options, this.path);
    if (success) return;
    Deno.removeSync(this.path);
    throw new Error(new TextDecoder().decode(stderr));
  }

  [Symbol.dispose](): void {
    // The kernel lets go of an io_uring's file a little later.
    run("umount", "--lazy", this.path);
    Deno.removeSync(this.path);
  }
}

function run(program: string, ...args: string[]): Deno.CommandOutput {
  return new Deno.Command(program, { args }).outputSync();
}

/** A driver of a disk on a sparse image in `folder`. */
class Disk implements Disposable {
  readonly driver: BlkDriver;
  readonly path: string;
  readonly #memory = GuestMemory.allocate(8 * MiB, { hugePages: false });
  readonly #image: RawImage;

  constructor(folder: string, Backend: typeof BACKENDS[number]) {
    this.path = `${folder}/image`;
    using file = Deno.openSync(this.path, { create: true, write: true });
    file.truncateSync(DISK);
    this.#image = openRawImage({ path: this.path });
    this.driver = new BlkDriver(new Backend(this.#image, 256), {
      memory: this.#memory,
    });
  }

  write(sector: number, bytes: number, fill: number): number {
    const request = this.driver.write(
      sector,
      new Uint8Array(bytes).fill(fill),
    );
    this.driver.complete(request);
    return this.driver.statusOf(request);
  }

  read(sector: number): { status: number; first: number } {
    const request = this.driver.read(sector);
    this.driver.complete(request);
    const status = this.driver.statusOf(request);
    return { status, first: this.driver.dataOf(request)[0]! };
  }

  flush(): number {
    const request = this.driver.flush();
    this.driver.complete(request);
    return this.driver.statusOf(request);
  }

  [Symbol.dispose](): void {
    this.driver.close();
    closeRawImage(this.#image);
    this.#memory.free();
  }
}

const BACKENDS = [UringBackend, AutoBackend, SyncBackend];

for (const Backend of BACKENDS) {
  const name = Backend.name;
  Deno.test(needing([root("mounts a file system")], {
    name: `blk on a full file system: IOERR, and it goes on after, ${name}`,
    fn() {
      using small = new SmallFileSystem();
      Deno.writeFileSync(`${small.path}/ballast`, new Uint8Array(40_960));
      using disk = new Disk(small.path, Backend);
      assert.equal(disk.write(0, 4096, 1), BlkStatus.OK);
      let full = -1;
      for (let block = 1; block < 32 && full < 0; block++) {
        const status = disk.write(8 * block, 4096, 2);
        if (status !== BlkStatus.OK) full = block;
      }
      assert.ok(full > 0, "it was full at some time");
      assert.equal(disk.write(8 * full, 4096, 2), BlkStatus.IOERR);
      assert.equal(disk.driver.status & 0x40, 0, "no reset is needed");
      assert.deepEqual(disk.read(0), { status: BlkStatus.OK, first: 1 });
      assert.equal(disk.flush(), BlkStatus.OK);
      Deno.removeSync(`${small.path}/ballast`);
      assert.equal(disk.write(8 * full, 4096, 3), BlkStatus.OK);
      assert.deepEqual(disk.read(8 * full), {
        status: BlkStatus.OK,
        first: 3,
      });
    },
  }));

  Deno.test(`blk on a file that shrinks: IOERR behind its end, ${name}`, () => {
    const folder = Deno.makeTempDirSync({ prefix: "vireo-shrinks-" });
    try {
      using disk = new Disk(folder, Backend);
      const last = DISK / SECTOR - 1;
      assert.equal(disk.write(0, SECTOR, 1), BlkStatus.OK);
      assert.equal(disk.write(last, SECTOR, 1), BlkStatus.OK);
      Deno.truncateSync(disk.path, 4096);
      assert.deepEqual(disk.read(0), { status: BlkStatus.OK, first: 1 });
      assert.equal(disk.read(last).status, BlkStatus.IOERR);
      const across = disk.driver.read(7, 2 * SECTOR);
      disk.driver.complete(across);
      assert.equal(disk.driver.statusOf(across), BlkStatus.IOERR);
      assert.equal(disk.driver.status & 0x40, 0, "no reset is needed");
      Deno.truncateSync(disk.path, DISK);
      assert.deepEqual(disk.read(last), { status: BlkStatus.OK, first: 0 });
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  });
}
