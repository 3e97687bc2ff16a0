/** `,direct` where the host's blocks are larger than a sector. */
import assert from "node:assert/strict";
import {
  LOOP_DEVICES,
  LoopDevice,
  MountedFolder,
  run,
} from "../../../ffi/testing/loop.ts";
import { needing } from "../../../ffi/testing/needs.ts";
import { MiB } from "../../../guest/layout.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { Random } from "../../../guest/testing/random.ts";
import { BounceBackend } from "../../backends/block/bounce.ts";
import {
  closeRawImage,
  type OpenImage,
  openRawImage,
} from "../../backends/block/open_image.ts";
import { UringBackend } from "../../backends/block/uring.ts";
import { SyncBackend } from "../../backends/block/sync.ts";
import { BlkDriver, type BlkRequest } from "../testing/blk.ts";
import { BlkConfig, BlkStatus, BlkType } from "./spec.ts";
import { MmioRegister } from "../transport/mmio.ts";

const SECTOR = 512;
const REQUESTS = 256;

/** A file that ends with the test. */
class Image implements Disposable {
  readonly path = Deno.makeTempFileSync({ prefix: "vireo-direct-" });

  constructor(size: number) {
    Deno.truncateSync(this.path, size);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path);
  }
}

/** A driver of a direct disk, and what should be on it. */
class Disk implements Disposable {
  readonly driver: BlkDriver;
  readonly image: OpenImage;
  readonly expected: Uint8Array;
  readonly #memory = GuestMemory.allocate(16 * MiB, { hugePages: false });

  constructor(path: string, Backend: typeof BACKENDS[number]) {
    this.image = openRawImage({ path, direct: true });
    const inner = new Backend(this.image, REQUESTS);
    this.driver = new BlkDriver(
      new BounceBackend(inner, this.image, REQUESTS),
      { memory: this.#memory },
    );
    this.expected = new Uint8Array(this.image.size);
  }

  /** Makes a write available, in pieces of these lengths. */
  write(sector: number, fill: Random, ...lengths: number[]): BlkRequest {
    const pieces = lengths.map((length) => fill.bytes(length));
    let at = sector * SECTOR;
    for (const piece of pieces) {
      this.expected.set(piece, at);
      at += piece.length;
    }
    return this.driver.write(sector, ...pieces);
  }

  done(...requests: BlkRequest[]): void {
    this.driver.complete(...requests);
    for (const request of requests) {
      assert.equal(this.driver.statusOf(request), BlkStatus.OK);
    }
  }

  /** What the guest reads is what it has written. */
  check(sector: number, ...lengths: number[]): void {
    const request = this.driver.read(sector, ...lengths);
    this.done(request);
    const bytes = lengths.reduce((sum, length) => sum + length);
    const at = sector * SECTOR;
    assert.deepEqual(
      this.driver.dataOf(request),
      this.expected.subarray(at, at + bytes),
    );
  }

  [Symbol.dispose](): void {
    this.driver.close();
    closeRawImage(this.image);
    this.#memory.free();
  }
}

const BACKENDS = [UringBackend, SyncBackend];

function directTest(
  name: string,
  body: (Backend: typeof BACKENDS[number]) => void,
  ...programs: string[]
): void {
  for (const Backend of BACKENDS) {
    Deno.test(needing([LOOP_DEVICES, ...programs], {
      name: `blk, direct on blocks of 4096: ${name}, ${Backend.name}`,
      fn: () => body(Backend),
    }));
  }
}

directTest("sectors are read and written, wherever they are", (Backend) => {
  using file = new Image(MiB);
  using loop = new LoopDevice(file.path, "--sector-size=4096");
  const random = new Random(1);
  {
    using disk = new Disk(loop.path, Backend);
    const { driver, image } = disk;
    assert.equal(image.blockSize, 4096);
    const config = (at: number, size: number) =>
      driver.get(MmioRegister.Config + at, size);
    assert.equal(config(BlkConfig.blk_size, 4), SECTOR);
    assert.equal(config(BlkConfig.physical_block_exp, 1), 3);

    for (let sector = 0; sector < 9; sector++) {
      disk.done(disk.write(sector, random, SECTOR));
      disk.check(sector, SECTOR);
    }
    disk.done(disk.write(13, random, 20 * SECTOR)); // parts of four blocks
    disk.done(disk.write(64, random, 8192)); // whole blocks
    disk.done(disk.write(80, random, 100, 412, 3584)); // odd buffers
    disk.check(80, 1, 4095);
    disk.check(0, 128 * SECTOR);
    // All sectors of two blocks at once, and a block between.
    const batch = [3, 1, 2, 0, 7, 5, 6, 4, 9, 8].map((n) =>
      disk.write(128 + n, random, SECTOR)
    );
    disk.done(...batch, disk.write(144, random, 4096));
    disk.check(120, 40 * SECTOR);
    const last = image.size / SECTOR - 1;
    disk.done(disk.write(last, random, SECTOR));
    disk.check(last, SECTOR);
    assert.deepEqual(Deno.readFileSync(loop.path), disk.expected);
  }
});

directTest("requests larger than the bounce buffer", (Backend) => {
  using file = new Image(2 * MiB);
  using loop = new LoopDevice(file.path, "--sector-size=4096");
  const random = new Random(2);
  using disk = new Disk(loop.path, Backend);
  disk.done(disk.write(5, random, MiB - 3 * SECTOR));
  disk.done(disk.write(2100, random, 300 * 1024, 1024, 200 * 1024));
  disk.check(5, MiB);
  disk.check(0, MiB);
  disk.check(2048, MiB);
});

directTest("zeros for less than a block are not supported", (Backend) => {
  using file = new Image(MiB);
  using loop = new LoopDevice(file.path, "--sector-size=4096");
  using disk = new Disk(loop.path, Backend);
  disk.done(disk.write(0, new Random(3), 8192));
  const less = disk.driver.zero(BlkType.WRITE_ZEROES, {
    sector: 1,
    sectors: 1,
  });
  disk.driver.complete(less);
  assert.equal(disk.driver.statusOf(less), BlkStatus.UNSUPP);
  disk.check(0, 8192);
});

directTest(
  "a file is read and written to its end, and stays as long",
  (Backend) => {
    using file = new Image(16 * MiB);
    using loop = new LoopDevice(file.path, "--sector-size=4096");
    run("mke2fs", "-q", "-t", "ext4", loop.path);
    using folder = new MountedFolder(loop.path);
    const path = `${folder.path}/image`;
    const size = 2 * 4096 + 3 * SECTOR;
    Deno.writeFileSync(path, new Uint8Array(size));
    const random = new Random(4);
    {
      using disk = new Disk(path, Backend);
      assert.equal(disk.image.blockSize, 4096);
      const last = size / SECTOR - 1;
      disk.check(last, SECTOR);
      disk.check(0, size);
      disk.done(disk.write(last, random, SECTOR));
      disk.check(last, SECTOR);
      disk.done(disk.write(16, random, 3 * SECTOR)); // a whole block's beginning
      disk.done(disk.write(7, random, 12 * SECTOR));
      disk.check(0, size);
      const beyond = disk.driver.read(last, 2 * SECTOR);
      disk.driver.complete(beyond);
      assert.equal(disk.driver.statusOf(beyond), BlkStatus.IOERR);
      assert.deepEqual(Deno.readFileSync(path), disk.expected);
    }
    assert.equal(Deno.statSync(path).size, size);
  },
  "mke2fs",
);
