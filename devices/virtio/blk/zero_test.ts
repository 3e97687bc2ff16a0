/** DISCARD and WRITE_ZEROES (virtio 1.2 §5.2.6). */
import assert from "node:assert/strict";
import { Errno } from "../../../ffi/errno.ts";
import { MiB } from "../../../guest/layout.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { MemoryBackend } from "../../backends/testing/block.ts";
import { AutoBackend } from "../../backends/block/auto.ts";
import {
  closeRawImage,
  openRawImage,
} from "../../backends/block/open_image.ts";
import { UringBackend } from "../../backends/block/uring.ts";
import { SyncBackend } from "../../backends/block/sync.ts";
import {
  BlkConfig,
  BlkFeature,
  BlkStatus,
  BlkType,
  MAX_ZERO_SECTORS,
} from "./spec.ts";
import { BlkDriver } from "../testing/blk.ts";
import { MmioRegister } from "../transport/mmio.ts";

const { OK, IOERR, UNSUPP } = BlkStatus;
const { DISCARD, WRITE_ZEROES } = BlkType;
const UNMAP = 1;
const SECTORS = MiB / 512;

interface Setup extends Disposable {
  disk: MemoryBackend;
  driver: BlkDriver;
}

/** A disk of 1 MiB full of ones. */
function setUp(options: { readOnly?: boolean } = {}): Setup {
  const memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  const disk = new MemoryBackend(memory, MiB, options);
  disk.content.fill(1);
  const driver = new BlkDriver(disk, { memory });
  return {
    disk,
    driver,
    [Symbol.dispose]() {
      driver.close();
      memory.free();
    },
  };
}

const done = ({ disk }: Setup) =>
  disk.operations.splice(0).map(({ kind, offset, length }) => [
    kind,
    offset / 512,
    length! / 512,
  ]);

Deno.test("blk: the limits of DISCARD and WRITE_ZEROES (§5.2.4)", () => {
  using setup = setUp();
  const { driver } = setup;
  assert.equal(driver.state.hasFeature(BlkFeature.DISCARD), true);
  assert.equal(driver.state.hasFeature(BlkFeature.WRITE_ZEROES), true);
  const config = (at: number) => driver.get(MmioRegister.Config + at);
  assert.equal(config(BlkConfig.max_discard_sectors), MAX_ZERO_SECTORS);
  assert.equal(config(BlkConfig.max_discard_seg), 1);
  assert.equal(config(BlkConfig.discard_sector_alignment), 8);
  assert.equal(config(BlkConfig.max_write_zeroes_sectors), MAX_ZERO_SECTORS);
  assert.equal(config(BlkConfig.max_write_zeroes_seg), 1);
  assert.equal(
    driver.get(MmioRegister.Config + BlkConfig.write_zeroes_may_unmap, 1),
    1,
  );
});

Deno.test("blk: DISCARD gives room back, WRITE_ZEROES only with its unmap flag", () => {
  using setup = setUp();
  const { driver, disk } = setup;
  const requests = [
    driver.zero(DISCARD, { sector: 8, sectors: 8 }),
    driver.zero(WRITE_ZEROES, { sector: 100, sectors: 3 }),
    driver.zero(WRITE_ZEROES, { sector: 200, sectors: 1, flags: UNMAP }),
    driver.zero(DISCARD, { sector: 0, sectors: SECTORS }),
  ];
  assert.deepEqual(driver.complete(...requests), [1, 1, 1, 1]);
  for (const request of requests) assert.equal(driver.statusOf(request), OK);
  assert.deepEqual(done(setup), [
    ["discard", 8, 8],
    ["zero", 100, 3],
    ["discard", 200, 1],
    ["discard", 0, SECTORS],
  ]);
  assert.ok(disk.content.every((byte) => byte === 0));
});

Deno.test("blk: unknown flags are UNSUPP, and unmap is one for DISCARD (§5.2.6.2)", () => {
  using setup = setUp();
  const { driver } = setup;
  const requests = [
    driver.zero(DISCARD, { sector: 0, sectors: 8, flags: UNMAP }),
    driver.zero(DISCARD, { sector: 0, sectors: 8, flags: 2 }),
    driver.zero(WRITE_ZEROES, { sector: 0, sectors: 8, flags: 3 }),
    driver.zero(WRITE_ZEROES, { sector: 0, sectors: 8, flags: 2 ** 31 }),
  ];
  driver.complete(...requests);
  for (const request of requests) {
    assert.equal(driver.statusOf(request), UNSUPP);
  }
  assert.deepEqual(done(setup), []);
});

Deno.test("blk: ranges outside the disk or the limits are IOERR, and touch nothing (§5.2.6.2)", () => {
  using setup = setUp();
  const { driver, disk } = setup;
  for (const type of [DISCARD, WRITE_ZEROES]) {
    const one = { sector: 0, sectors: 1 };
    const requests = [
      driver.zero(type, { sector: SECTORS, sectors: 1 }),
      driver.zero(type, { sector: SECTORS - 1, sectors: 2 }),
      driver.zero(type, { sector: 0, sectors: 0 }),
      driver.zero(type, { sector: 0, sectors: MAX_ZERO_SECTORS + 1 }),
      driver.zero(type, { sector: 0, sectors: 0xffff_ffff }),
      driver.zero(type, { sector: 2 ** 63, sectors: 1 }),
      driver.zero(type, { sector: 2 ** 55 - 1, sectors: 1 }),
      driver.zero(type, { sector: 2 ** 64 - 4096, sectors: 8192 }),
      driver.zero(type), // no segment
      driver.zero(type, one, one), // more than max_discard_seg
      driver.request(type, 0, [driver.buffer(new Uint8Array(15))]),
      driver.request(type, 0, [driver.buffer(new Uint8Array(17))]),
    ];
    driver.complete(...requests);
    requests.forEach((request, i) =>
      assert.equal(driver.statusOf(request), IOERR, `${type}, ${i}`)
    );
  }
  assert.deepEqual(done(setup), []);
  assert.ok(disk.content.every((byte) => byte === 1));
  assert.equal(driver.status, 0xf);
});

Deno.test("blk: where the file system can't, they are UNSUPP; other errors are IOERR", () => {
  using setup = setUp();
  const { driver, disk } = setup;
  disk.answer = () => -Errno.EOPNOTSUPP;
  const cannot = driver.zero(DISCARD, { sector: 0, sectors: 8 });
  const read = driver.read(0);
  driver.complete(cannot, read);
  assert.equal(driver.statusOf(cannot), UNSUPP);
  assert.equal(driver.statusOf(read), IOERR);
  disk.answer = () => -Errno.ENOSPC;
  const full = driver.zero(WRITE_ZEROES, { sector: 0, sectors: 8 });
  driver.complete(full);
  assert.equal(driver.statusOf(full), IOERR);
  let tries = 0;
  disk.answer = () => ++tries < 3 ? -Errno.EINTR : undefined;
  const again = driver.zero(WRITE_ZEROES, { sector: 1, sectors: 1 });
  driver.complete(again);
  assert.equal(driver.statusOf(again), OK);
});

Deno.test("blk: a read-only disk offers neither, and refuses both", () => {
  using setup = setUp({ readOnly: true });
  const { driver } = setup;
  assert.equal(driver.state.hasFeature(BlkFeature.DISCARD), false);
  assert.equal(driver.state.hasFeature(BlkFeature.WRITE_ZEROES), false);
  const config = (at: number) => driver.get(MmioRegister.Config + at);
  assert.equal(config(BlkConfig.max_discard_sectors), 0);
  const requests = [DISCARD, WRITE_ZEROES].map((type) =>
    driver.zero(type, { sector: 0, sectors: 8 })
  );
  driver.complete(...requests);
  for (const request of requests) assert.equal(driver.statusOf(request), IOERR);
});

for (const Backend of [UringBackend, AutoBackend, SyncBackend]) {
  Deno.test(`blk (${Backend.name}): what is discarded is a hole in the file`, () => {
    const path = Deno.makeTempFileSync({ prefix: "vireo-blk-" });
    Deno.writeFileSync(path, new Uint8Array(MiB).fill(1));
    const image = openRawImage({ path });
    const driver = new BlkDriver(new Backend(image, 256));
    try {
      const before = Deno.statSync(path).blocks!;
      const discard = driver.zero(DISCARD, { sector: 0, sectors: 1024 });
      driver.complete(discard);
      assert.equal(driver.statusOf(discard), OK);
      const after = Deno.statSync(path).blocks!;
      assert.ok(after <= before - 1024, `${before} -> ${after}`);
      const zero = driver.zero(WRITE_ZEROES, { sector: 1999, sectors: 3 });
      driver.complete(zero);
      // Some file systems can only make holes.
      assert.ok([OK, UNSUPP].includes(driver.statusOf(zero) as 0));
      const zeroed = driver.statusOf(zero) === OK;
      const bytes = Deno.readFileSync(path);
      assert.equal(bytes.length, MiB);
      bytes.forEach((byte, at) => {
        const zeros = at < MiB / 2 ||
          zeroed && at >= 1999 * 512 && at < 2002 * 512;
        assert.equal(byte, zeros ? 0 : 1, `byte ${at}`);
      });
    } finally {
      driver.close();
      closeRawImage(image);
      Deno.removeSync(path);
    }
  });
}
