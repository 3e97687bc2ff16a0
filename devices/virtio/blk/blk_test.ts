/** The block device on a real file, through both real backends. */
import assert from "node:assert/strict";
import { Random } from "../../../guest/testing/random.ts";
import { AutoBackend } from "../../backends/block/auto.ts";
import {
  closeRawImage,
  openRawImage,
} from "../../backends/block/open_image.ts";
import type { RawImage } from "../../backends/block/image.ts";
import { UringBackend } from "../../backends/block/uring.ts";
import { SyncBackend } from "../../backends/block/sync.ts";
import { BlkConfig, BlkFeature, BlkStatus, BlkType } from "./spec.ts";
import { BlkDriver, UNWRITTEN } from "../testing/blk.ts";
import { MmioRegister } from "../transport/mmio.ts";
import { Feature } from "../spec.ts";

const SECTORS = 256;
const { OK, IOERR, UNSUPP } = BlkStatus;

/** A driver of a disk on a temporary file of random bytes. */
class FileDisk implements Disposable {
  readonly path = Deno.makeTempFileSync({ prefix: "vireo-blk-" });
  readonly content = new Random(7).bytes(SECTORS * 512);
  readonly image: RawImage;
  readonly driver: BlkDriver;

  constructor(
    make: (image: RawImage) => UringBackend | SyncBackend,
    readOnly = false,
  ) {
    Deno.writeFileSync(this.path, this.content);
    this.image = openRawImage({ path: this.path, readOnly });
    this.driver = new BlkDriver(make(this.image));
  }

  sectors(first: number, count = 1): Uint8Array {
    return this.content.slice(first * 512, (first + count) * 512);
  }

  onDisk(first: number, count = 1): Uint8Array {
    const bytes = Deno.readFileSync(this.path);
    return bytes.slice(first * 512, (first + count) * 512);
  }

  [Symbol.dispose](): void {
    this.driver.close();
    closeRawImage(this.image);
    Deno.removeSync(this.path);
  }
}

const BACKENDS: [string, (image: RawImage) => UringBackend | SyncBackend][] = [
  ["io_uring", (image) => new UringBackend(image, 256)],
  ["io_uring, but for writes", (image) => new AutoBackend(image, 256)],
  ["preadv", (image) => new SyncBackend(image, 256)],
];

/** One test per engine. */
function testBoth(name: string, body: (disk: FileDisk) => void): void {
  for (const [backend, make] of BACKENDS) {
    Deno.test(`blk (${backend}): ${name}`, () => {
      using disk = new FileDisk(make);
      body(disk);
    });
  }
}

testBoth(
  "capacity, seg_max, blk_size and features (§5.2.3, §5.2.4)",
  ({ driver }) => {
    const config = (offset: number) => driver.get(MmioRegister.Config + offset);
    assert.equal(config(BlkConfig.capacity), SECTORS);
    assert.equal(config(BlkConfig.capacity + 4), 0);
    assert.equal(config(BlkConfig.seg_max), 254);
    assert.equal(config(BlkConfig.blk_size), 512);
    const { SEG_MAX, BLK_SIZE, FLUSH, RO } = BlkFeature;
    for (const bit of [SEG_MAX, BLK_SIZE, FLUSH, Feature.EVENT_IDX]) {
      assert.equal(driver.state.hasFeature(bit), true);
    }
    assert.equal(driver.state.hasFeature(RO), false);
  },
);

testBoth(
  "IN reads sectors, used length is data and status (§5.2.6, §2.7.8.2)",
  (disk) => {
    const { driver } = disk;
    const requests = [0, 1, 100, SECTORS - 1].map((n) => driver.read(n));
    const lengths = driver.complete(...requests);
    assert.deepEqual(lengths, [513, 513, 513, 513]);
    requests.forEach((request, i) => {
      assert.equal(driver.statusOf(request), OK);
      const sector = [0, 1, 100, SECTORS - 1][i]!;
      assert.deepEqual(driver.dataOf(request), disk.sectors(sector));
    });
  },
);

testBoth("OUT writes sectors, used length is the status", (disk) => {
  const { driver } = disk;
  const bytes = new Random(1).bytes(1024);
  const request = driver.write(17, bytes);
  assert.deepEqual(driver.complete(request), [1]);
  assert.equal(driver.statusOf(request), OK);
  assert.deepEqual(disk.onDisk(17, 2), bytes);
  assert.deepEqual(disk.onDisk(16), disk.sectors(16));
  assert.deepEqual(disk.onDisk(19), disk.sectors(19));
});

for (const features of [[], [Feature.EVENT_IDX]]) {
  const name = features.length > 0 ? "with" : "without";
  Deno.test(`blk: a driver that polls goes on while more is begun, ${name} EVENT_IDX`, () => {
    /** What the driver has found before each write, and interrupts so far. */
    const found: number[] = [];
    const interrupts: number[] = [];
    using disk = new FileDisk((image) =>
      new class extends SyncBackend {
        override writev(...of: Parameters<SyncBackend["writev"]>): void {
          let used = found.at(-1) ?? 0;
          while (disk.driver.queues[0]!.poll() >= 0) used++;
          found.push(used);
          interrupts.push(disk.driver.interrupts);
          super.writev(...of);
        }
      }(image, 256)
    );
    const { driver } = disk;
    driver.start({ features });
    const before = driver.interrupts;
    const writes = Array.from(
      { length: 40 },
      (_, n) => driver.write(n, new Uint8Array(512).fill(n)),
    );
    driver.ring(0);
    const seen = writes.map((_, n) => n - n % 16);
    assert.deepEqual(found, seen, "sixteen by sixteen");
    assert.deepEqual(interrupts, writes.map(() => before));
    assert.equal(driver.interrupts, before + 1, "one, at the end");
    for (const write of writes) assert.equal(driver.statusOf(write), OK);
  });
}

testBoth("data in many descriptors of any length (§2.7.4.2)", (disk) => {
  const { driver } = disk;
  const lengths = [1, 511, 1000, 24, 3, 4096, 509];
  const request = driver.read(3, ...lengths);
  driver.complete(request);
  assert.equal(driver.statusOf(request), OK);
  assert.deepEqual(driver.dataOf(request), disk.sectors(3, 12));

  const bytes = new Random(2).bytes(512 * 3);
  const pieces = [bytes.slice(0, 7), bytes.slice(7, 1000), bytes.slice(1000)];
  const write = driver.write(40, ...pieces);
  driver.complete(write);
  assert.equal(driver.statusOf(write), OK);
  assert.deepEqual(disk.onDisk(40, 3), bytes);
});

testBoth("seg_max segments through an indirect table", (disk) => {
  const { driver } = disk;
  const table = driver.allocate(256 * 16);
  const data = Array.from({ length: 254 }, () => driver.room(512));
  const status = driver.room(1, UNWRITTEN);
  const head = driver.queues[0]!.addIndirect(
    [driver.header(BlkType.IN, 1), ...data, status],
    table,
  );
  const request = { head, data, status };
  assert.deepEqual(driver.complete(request), [254 * 512 + 1]);
  assert.equal(driver.statusOf(request), OK);
  assert.deepEqual(driver.dataOf(request), disk.sectors(1, 254));
});

testBoth("FLUSH succeeds, GET_ID gives the id (§5.2.6.1)", ({ driver }) => {
  const flush = driver.flush();
  const id = driver.request(BlkType.GET_ID, 0, [driver.room(20)]);
  assert.deepEqual(driver.complete(flush, id), [1, 21]);
  assert.equal(driver.statusOf(flush), OK);
  assert.equal(driver.statusOf(id), OK);
  const text = new TextDecoder().decode(driver.dataOf(id));
  assert.equal(text, "disk0".padEnd(20, "\0"));
});

testBoth("an unknown type is UNSUPP (§5.2.6.2)", ({ driver }) => {
  const requests = [2, 3, 5, 10, 14, 0xffff_ffff].map((type) =>
    driver.request(type, 0, [driver.room(512)])
  );
  driver.complete(...requests);
  for (const request of requests) {
    assert.equal(driver.statusOf(request), UNSUPP);
  }
});

testBoth(
  "out of range and odd lengths are IOERR, and touch nothing (§5.2.6.2)",
  (disk) => {
    const { driver } = disk;
    const bad = [
      driver.read(SECTORS),
      driver.read(SECTORS - 1, 1024),
      driver.read(2 ** 63),
      driver.read(2 ** 55),
      driver.read(2 ** 64 - 2048),
      driver.read(0, 511),
      driver.read(0, 512, 1),
      driver.write(SECTORS, new Uint8Array(512)),
      driver.write(2 ** 63, new Uint8Array(512)),
      driver.write(0, new Uint8Array(100)),
      driver.request(BlkType.IN, 0, []),
    ];
    assert.deepEqual(driver.complete(...bad), bad.map(() => 1));
    for (const request of bad) assert.equal(driver.statusOf(request), IOERR);
    assert.deepEqual(Deno.readFileSync(disk.path), disk.content);
    assert.equal(driver.status, 0xf);
  },
);

testBoth("a file that shrank: IOERR where it ended, OK before", (disk) => {
  const { driver } = disk;
  Deno.truncateSync(disk.path, 100 * 512 + 200);
  const before = driver.read(99);
  const across = driver.read(99, 1024);
  const within = driver.read(100);
  const after = driver.read(101);
  driver.complete(before, across, within, after);
  assert.equal(driver.statusOf(before), OK);
  for (const request of [across, within, after]) {
    assert.equal(driver.statusOf(request), IOERR);
  }
});

testBoth("hundreds of requests in flight, every byte right", (disk) => {
  const { driver } = disk;
  const random = new Random(5);
  const model = disk.content.slice();
  for (let round = 0; round < 10; round++) {
    driver.start();
    const requests = Array.from({ length: 60 }, (_, i) => {
      // A band of four sectors per request: none depends on another.
      const sector = i * 4 + random.below(2);
      const count = 1 + random.below(2);
      if (random.oneIn(2)) return driver.read(sector, 512 * count);
      const bytes = random.bytes(512 * count);
      model.set(bytes, sector * 512);
      return driver.write(sector, bytes);
    });
    driver.complete(...requests);
    for (const request of requests) assert.equal(driver.statusOf(request), OK);
    assert.deepEqual(Deno.readFileSync(disk.path), model);
  }
});

testBoth("a reset with requests in flight, then it works again", (disk) => {
  const { driver } = disk;
  for (let i = 0; i < 20; i++) {
    for (let n = 0; n < 50; n++) driver.read(n);
    driver.ring(0);
    driver.start();
    const request = driver.read(i);
    driver.complete(request);
    assert.equal(driver.statusOf(request), OK);
    assert.deepEqual(driver.dataOf(request), disk.sectors(i));
  }
});

for (const [backend, make] of BACKENDS) {
  Deno.test(`blk (${backend}): a read-only disk refuses OUT, and the file is untouched (§5.2.6.2)`, () => {
    using disk = new FileDisk(make, true);
    const { driver } = disk;
    assert.equal(driver.state.hasFeature(BlkFeature.RO), true);
    const write = driver.write(0, new Uint8Array(512));
    const read = driver.read(0);
    driver.complete(write, read);
    assert.equal(driver.statusOf(write), IOERR);
    assert.equal(driver.statusOf(read), OK);
    assert.deepEqual(Deno.readFileSync(disk.path), disk.content);
  });
}
