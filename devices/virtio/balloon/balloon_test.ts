/** The memory balloon (virtio 1.2 §5.5). */
import assert from "node:assert/strict";
import { closeFd, Open, openFd } from "../../../ffi/file.ts";
import { MapFlag, Mapping } from "../../../ffi/memory/mmap.ts";
import { GiB, MiB } from "../../../guest/layout.ts";
import { GuestMemory, PAGE_SIZE } from "../../../guest/memory.ts";
import { BalloonFeature, HintCommand } from "./spec.ts";
import { BalloonDriver, FIRST_PAGE } from "../testing/balloon.ts";
import { DeviceId, Feature, Interrupt, Status } from "../spec.ts";

const INFLATE = 0;
const DEFLATE = 1;

/** Bit numbers below 32 that the device offers, besides the queues' own. */
function offered(driver: BalloonDriver): number[] {
  const [low] = driver.offered;
  return Array.from({ length: 28 }, (_, bit) => bit)
    .filter((bit) => (low >>> bit) & 1);
}

/** One `struct virtio_balloon_stat` after the other. */
function statBytes(...stats: [tag: number, value: bigint][]): Uint8Array {
  const view = new DataView(new ArrayBuffer(10 * stats.length));
  stats.forEach(([tag, value], i) => {
    view.setUint16(10 * i, tag, true);
    view.setBigUint64(10 * i + 2, value, true);
  });
  return new Uint8Array(view.buffer);
}

Deno.test("balloon: features and queues are as the options say (§5.5.2, §5.5.3)", () => {
  const { STATS_VQ, DEFLATE_ON_OOM, FREE_PAGE_HINT } = BalloonFeature;
  const { PAGE_POISON, PAGE_REPORTING } = BalloonFeature;
  const cases = [
    { options: {}, bits: [], queues: 2 },
    { options: { deflateOnOom: true }, bits: [DEFLATE_ON_OOM], queues: 2 },
    { options: { statsInterval: 1 }, bits: [STATS_VQ], queues: 3 },
    {
      options: { hinting: true },
      bits: [FREE_PAGE_HINT, PAGE_POISON],
      queues: 3,
    },
    {
      options: { reporting: true },
      bits: [PAGE_POISON, PAGE_REPORTING],
      queues: 3,
    },
    {
      options: {
        deflateOnOom: true,
        statsInterval: 1,
        hinting: true,
        reporting: true,
      },
      bits: [1, 2, 3, 4, 5],
      queues: 5,
    },
  ];
  for (const { options, bits, queues } of cases) {
    using driver = new BalloonDriver(options);
    assert.equal(driver.activated.device.deviceId, DeviceId.BALLOON);
    assert.deepEqual(offered(driver), bits);
    assert.equal(driver.activated.queues.length, queues);
  }
});

Deno.test("balloon: inflated pages are the host's, and no others; deflated ones come back", () => {
  for (const features of [[], [Feature.EVENT_IDX, Feature.INDIRECT_DESC]]) {
    using driver = new BalloonDriver({}, { features });
    driver.fill(8);
    const numbers = [1, 2, 3, 6, 5].map((page) => FIRST_PAGE + page);
    const head = driver.send(INFLATE, driver.pages(...numbers));
    assert.equal(driver.queues[INFLATE]!.poll(), head);
    assert.equal(driver.queues[INFLATE]!.usedLength, 0);
    assert.deepEqual(driver.kept(8), [0, 4, 7]);
    assert.equal(driver.stats.discarded_pages, 5);
    assert.equal(driver.interrupts, 1);

    assert.equal(driver.send(DEFLATE, driver.pages(...numbers)), 0);
    assert.equal(driver.queues[DEFLATE]!.poll(), 0);
    driver.fill(8);
    assert.equal(driver.kept(8).length, 8);
  }
});

Deno.test("balloon: an array may be cut anywhere", () => {
  using driver = new BalloonDriver();
  driver.fill(4);
  const bytes = new Uint8Array(
    Uint32Array.of(FIRST_PAGE, FIRST_PAGE + 1, FIRST_PAGE + 3).buffer,
  );
  const pieces = [[0, 1], [1, 7], [7, 12]].map(([from, to]) =>
    driver.buffer(bytes.slice(from, to))
  );
  driver.send(INFLATE, ...pieces);
  assert.deepEqual(driver.kept(4), [2]);
});

Deno.test("balloon: pages of a mapped file are holes in the file", () => {
  const path = Deno.makeTempFileSync({ dir: "/dev/shm" });
  Deno.truncateSync(path, 4 * MiB);
  const fd = openFd(path, Open.RDWR, "file");
  using mapping = new Mapping(4 * MiB, { fd, flags: MapFlag.SHARED });
  const memory = GuestMemory.attach([{
    guestAddress: 0,
    size: 4 * MiB,
    hostAddress: mapping.address,
    backing: "file",
  }]);
  using driver = new BalloonDriver({}, { memory });
  driver.fill(256);
  const blocks = () => Deno.statSync(path).blocks!; // of 512 bytes
  const before = blocks();
  driver.send(
    INFLATE,
    driver.pages(...Array.from({ length: 256 }, (_, i) => FIRST_PAGE + i)),
  );
  assert.equal(before - blocks(), 256 * PAGE_SIZE / 512);
  assert.deepEqual(driver.kept(256), []); // reading takes pages again
  closeFd(fd);
  Deno.removeSync(path);
});

Deno.test("balloon: the target is shown with an interrupt, what the driver has done read back (§5.5.4)", () => {
  using driver = new BalloonDriver({ mib: 1 });
  assert.equal(driver.field("num_pages"), 256);
  driver.activated.command({ type: "set-target", mib: 3 });
  assert.equal(driver.field("num_pages"), 768);
  assert.equal(driver.acknowledge(), Interrupt.CONFIG_CHANGE);
  driver.setField("actual", 511);
  assert.equal(driver.acknowledge(), 0, "the driver knows");
  assert.equal(driver.field("actual"), 511);
  const { target_mib, actual_mib, actual_pages } = driver.stats;
  assert.deepEqual([target_mib, actual_mib, actual_pages], [3, 511 / 256, 511]);
  driver.setField("num_pages", 77);
  driver.setField("free_page_hint_cmd_id", 77);
  assert.equal(driver.field("num_pages"), 768, "not the driver's to write");
  assert.equal(driver.field("free_page_hint_cmd_id"), 0);
  for (const mib of [-1, 5, 1.5, NaN]) {
    assert.throws(
      () => driver.activated.command({ type: "set-target", mib }),
      new RegExp(`balloon: ${mib} MiB is not 0 to 4`),
    );
  }
  driver.reset();
  driver.start();
  assert.equal(driver.field("num_pages"), 768, "the owner's wish stays");
  assert.equal(driver.field("actual"), 0);
});

Deno.test("balloon: statistics are asked for with the driver's buffer (§5.5.6.3)", () => {
  using driver = new BalloonDriver({ statsInterval: 0.01 });
  const queue = driver.queues[2]!;
  const buffer = driver.buffer(statBytes([4, 5n], [5, 1n << 33n], [77, 9n]));
  const head = driver.send(2, buffer);
  assert.equal(queue.poll(), -1, "the device keeps it");
  const stats = driver.stats;
  assert.equal(stats.free_memory, 5);
  assert.equal(stats.total_memory, 2 ** 33);
  assert.equal("swap_in" in stats, false, "not told");
  driver.until(() => queue.usedIdx === 1, "the next request");
  assert.equal(queue.poll(), head);
  driver.memory.write(buffer.address, statBytes([4, 6n], [10, 1n], [15, 2n]));
  driver.send(2, buffer);
  assert.equal(driver.stats.free_memory, 6);
  assert.equal(driver.stats.oom_kill, 1);
  assert.equal(driver.stats.direct_reclaim, 2);
});

Deno.test("balloon: statistics that were there before DRIVER_OK are seen", () => {
  using driver = new BalloonDriver({ statsInterval: 1000 });
  driver.negotiate();
  for (const index of [0, 1]) driver.setUpQueue(index, 8);
  const queue = driver.setUpQueue(2, 8);
  queue.add([driver.buffer(statBytes([4, 123n]))]);
  driver.addStatus(Status.DRIVER_OK);
  assert.equal(driver.stats.free_memory, 123);
});

Deno.test("balloon: without statistics their interval can't be set", () => {
  using driver = new BalloonDriver();
  assert.throws(
    () => driver.activated.command({ type: "set-stats-interval", seconds: 1 }),
    /must be on from the start/,
  );
  using other = new BalloonDriver({ statsInterval: 1000 });
  assert.throws(
    () => other.activated.command({ type: "set-stats-interval", seconds: 0 }),
    /no interval/,
  );
});

Deno.test("balloon: another interval of statistics begins with a request, or with the driver", () => {
  using driver = new BalloonDriver({ statsInterval: 1000 });
  const setInterval = (seconds: number) =>
    driver.activated.command({ type: "set-stats-interval", seconds });
  const queue = () => driver.queues[2]!;
  driver.send(2, driver.buffer(statBytes([4, 1n])));
  setInterval(2000);
  assert.equal(queue().usedIdx, 1, "asked at once");
  driver.reset();
  setInterval(0.01);
  driver.start();
  driver.send(2, driver.buffer(statBytes([4, 1n])));
  driver.until(() => queue().usedIdx === 1, "the first request");
});

Deno.test("balloon: reported ranges are the host's, whole pages only (§5.5.6.7)", () => {
  using driver = new BalloonDriver({ reporting: true });
  driver.fill(8);
  const start = FIRST_PAGE * PAGE_SIZE;
  const range = (from: number, length: number) => ({
    address: start + from,
    length,
    writable: true,
  });
  const head = driver.send(
    2, // without statistics and hints, it is the third
    range(PAGE_SIZE, 2 * PAGE_SIZE),
    range(4 * PAGE_SIZE + 100, 2 * PAGE_SIZE), // one whole page
    range(7 * PAGE_SIZE + 100, 200), // none
  );
  assert.equal(driver.queues[2]!.poll(), head);
  assert.deepEqual(driver.kept(8), [0, 3, 4, 6, 7]);
});

Deno.test("balloon: poisoned pages stay as they are (§5.5.6.6.1)", () => {
  using driver = new BalloonDriver({ reporting: true });
  driver.setField("poison_val", 0xaaaa_aaaa);
  driver.fill(1);
  const address = FIRST_PAGE * PAGE_SIZE;
  driver.send(2, { address, length: PAGE_SIZE, writable: true });
  assert.deepEqual(driver.kept(1), [0]);
  assert.equal(driver.queues[2]!.poll(), 0, "but the report is answered");
  driver.reset();
  driver.start();
  driver.send(2, { address, length: PAGE_SIZE, writable: true });
  assert.deepEqual(driver.kept(1), [], "a new driver doesn't poison");
});

Deno.test("balloon: hints count from the run's number to STOP (§5.5.6.5)", () => {
  using driver = new BalloonDriver({ hinting: true, statsInterval: 1000 });
  const hints = 3;
  const word = (value: number) => driver.pages(value);
  const page = (i: number) => ({
    address: (FIRST_PAGE + i) * PAGE_SIZE,
    length: PAGE_SIZE,
    writable: true,
  });
  driver.fill(6);
  driver.send(hints, page(0));
  assert.deepEqual(driver.kept(1), [0], "nobody has asked");

  driver.acknowledge();
  driver.activated.command({ type: "start-hinting" });
  assert.equal(driver.acknowledge(), Interrupt.CONFIG_CHANGE);
  const run = driver.field("free_page_hint_cmd_id");
  assert.equal(run, HintCommand.FIRST);
  assert.equal(driver.stats.hinting, true);
  driver.send(hints, word(run + 5));
  driver.send(hints, page(1));
  driver.send(hints, word(run));
  driver.send(hints, page(2), page(3));
  assert.deepEqual(driver.kept(6), [0, 1, 4, 5], "another run's don't count");
  driver.send(hints, word(HintCommand.STOP));
  assert.equal(driver.field("free_page_hint_cmd_id"), HintCommand.DONE);
  assert.equal(driver.stats.hinting, false);
  driver.send(hints, page(4));
  assert.deepEqual(driver.kept(6), [0, 1, 4, 5], "the run is over");

  driver.activated.command({ type: "start-hinting" });
  assert.equal(driver.field("free_page_hint_cmd_id"), run + 1);
  driver.send(hints, word(run + 1));
  driver.activated.command({ type: "stop-hinting" });
  driver.send(hints, page(5));
  assert.deepEqual(driver.kept(6), [0, 1, 4, 5], "stopped by the host");
});

Deno.test("balloon: hinting that was not agreed on can't be started", () => {
  using driver = new BalloonDriver({ hinting: true }, { features: [] });
  assert.throws(
    () => driver.activated.command({ type: "start-hinting" }),
    /gives no hints/,
  );
});

Deno.test("balloon hostile: a page outside RAM needs a reset, the MMIO hole too", () => {
  using memory = BalloonDriver.memoryAroundHole();
  const top = 3 * GiB / PAGE_SIZE; // the first page of the hole
  const high = 4 * GiB / PAGE_SIZE;
  for (
    const bad of [top, high - 1, high + 16 * MiB / PAGE_SIZE, 0xffff_ffff]
  ) {
    using driver = new BalloonDriver({}, { memory });
    const pages = driver.pages(top - 1, bad, FIRST_PAGE);
    driver.fill(1);
    driver.send(INFLATE, pages);
    assert.ok(driver.status & Status.DEVICE_NEEDS_RESET, `page ${bad}`);
    assert.match(driver.messages[0]!, /inflate: page 0x\w+ is not in RAM/);
    assert.deepEqual(driver.kept(1), [0]);
    driver.start();
    driver.send(INFLATE, driver.pages(top - 1, high, FIRST_PAGE));
    assert.equal(driver.status & Status.DEVICE_NEEDS_RESET, 0);
    assert.equal(driver.queues[INFLATE]!.poll(), 0, "works after a reset");
  }
});

Deno.test("balloon hostile: arrays of odd sizes and endless ones need a reset", () => {
  const broken = { deviceStatus: Status.DEVICE_NEEDS_RESET };
  for (const length of [1, 7, 65_540]) {
    using driver = new BalloonDriver();
    driver.send(INFLATE, driver.buffer(new Uint8Array(length)));
    assert.ok(driver.status & broken.deviceStatus, `${length} bytes`);
  }
  using driver = new BalloonDriver();
  driver.send(INFLATE, driver.room(64)); // nothing to read: no pages
  assert.equal(driver.status & broken.deviceStatus, 0);
});

Deno.test("balloon hostile: statistics cut off, too many, twice; hints of nothing", () => {
  using driver = new BalloonDriver({ statsInterval: 1000, hinting: true });
  driver.activated.command({ type: "start-hinting" });
  const many = Array.from({ length: 90 }, (): [number, bigint] => [4, 7n]);
  const first = driver.send(2, driver.buffer(statBytes(...many)));
  driver.send(2, driver.buffer(statBytes([5, 1n]).slice(0, 9)));
  assert.equal(driver.queues[2]!.poll(), first, "one at a time is kept");
  driver.send(2, driver.room(10));
  assert.equal(driver.stats.free_memory, 7);
  assert.equal(driver.stats.total_memory, undefined);
  driver.send(3, driver.buffer(new Uint8Array(3)));
  driver.send(3, driver.buffer(new Uint8Array(5)), driver.room(1));
  assert.equal(driver.queues[3]!.usedIdx, 2);
  assert.equal(driver.status & Status.DEVICE_NEEDS_RESET, 0);
  for (const size of [1, 2, 4]) {
    for (let offset = 0; offset < 20; offset++) {
      driver.transport.write(0x100 + offset, size, 0xffff_ffff);
    }
  }
  assert.equal(driver.field("actual"), 0xffff_ffff);
  assert.equal(driver.field("num_pages"), 0);
});
