/** A balloon that is saved in the middle of pages, statistics and hints. */
import assert from "node:assert/strict";
import { MiB } from "../../../guest/layout.ts";
import { GuestMemory, PAGE_SIZE } from "../../../guest/memory.ts";
import { BalloonDriver, FIRST_PAGE } from "../testing/balloon.ts";
import { goOn, restore, save, WAYS } from "../testing/saved.ts";
import { Status } from "../spec.ts";
import { Balloon } from "./balloon.ts";
import { HintCommand } from "./spec.ts";

const INFLATE = 0;
const DEFLATE = 1;
const OPTIONS = { mib: 1, statsInterval: 0.01, hinting: true, reporting: true };
const STATS = 2;
const HINTS = 3;

function word(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/** `VIRTIO_BALLOON_S_MEMFREE`. */
function free(value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(10));
  view.setUint16(0, 4, true);
  view.setUint32(2, value, true);
  return new Uint8Array(view.buffer);
}

for (const way of WAYS) {
  Deno.test(`balloon saved: pages that were too many for a turn are given back; ${way}`, () => {
    using memory = GuestMemory.allocate(64 * MiB, { hugePages: false });
    using driver = new BalloonDriver({ reporting: true }, {
      memory,
      awake: true,
    });
    const [address, length] = [16 * MiB, 40 * MiB];
    memory.bytes(address, length).fill(0x55);
    driver.fill(4);
    const report = driver.queues[2]!.add([{ address, length, writable: true }]);
    driver.ring(2);
    assert.equal(driver.queues[2]!.usedIdx, 0, "not done yet");
    const inflate = driver.send(INFLATE, driver.pages(FIRST_PAGE + 2));
    const deflate = driver.send(DEFLATE, driver.pages(FIRST_PAGE));
    const saved = save(driver);
    assert.equal(saved.queues[2]!.nextAvail, 0, "it is in the ring again");
    driver.activated.resume();
    goOn(driver, way, () => new Balloon({ reporting: true }));
    driver.sleep();
    assert.equal(driver.queues[2]!.poll(), report);
    assert.equal(driver.queues[INFLATE]!.poll(), inflate);
    assert.equal(driver.queues[DEFLATE]!.poll(), deflate);
    assert.ok(memory.bytes(address, length).indexOf(0x55) < 0);
    assert.deepEqual(driver.kept(4), [0, 1, 3]);
  });

  Deno.test(`balloon saved: statistics that were held come again, and go on; ${way}`, () => {
    using driver = new BalloonDriver({ ...OPTIONS, statsInterval: 1000 });
    const head = driver.send(STATS, driver.buffer(free(5)));
    assert.equal(driver.stats.free_memory, 5);
    goOn(driver, way, () => new Balloon(OPTIONS));
    assert.equal(driver.stats.free_memory, 5);
    assert.equal(driver.queues[STATS]!.poll(), -1, "it is held");
    if (way === "resumed") {
      driver.activated.command({ type: "set-stats-interval", seconds: 0.01 });
    }
    driver.until(
      () => driver.queues[STATS]!.poll() === head,
      "the buffer, by the timer",
    );
    driver.send(STATS, driver.buffer(free(6)));
    assert.equal(driver.stats.free_memory, 6);
  });

  Deno.test(`balloon saved: hints go on, and the next run has another number; ${way}`, () => {
    using driver = new BalloonDriver(OPTIONS);
    driver.activated.command({ type: "start-hinting" });
    driver.fill(4);
    const hint = (page: number) =>
      driver.send(HINTS, {
        address: (FIRST_PAGE + page) * PAGE_SIZE,
        length: PAGE_SIZE,
        writable: true,
      });
    driver.send(HINTS, driver.buffer(word(HintCommand.FIRST)));
    hint(0);
    goOn(driver, way, () => new Balloon(OPTIONS));
    hint(1);
    assert.deepEqual(driver.kept(4), [2, 3]);
    driver.send(HINTS, driver.buffer(word(HintCommand.STOP)));
    assert.equal(driver.field("free_page_hint_cmd_id"), HintCommand.DONE);
    hint(2);
    assert.deepEqual(driver.kept(4), [2, 3], "not of a run");
    driver.activated.command({ type: "start-hinting" });
    assert.equal(driver.field("free_page_hint_cmd_id"), HintCommand.FIRST + 1);
  });
}

Deno.test("balloon saved: the target is the new machine's, the size the guest's", () => {
  using driver = new BalloonDriver(OPTIONS);
  driver.setField("actual", 256);
  goOn(driver, "restored", () => new Balloon(OPTIONS));
  driver.acknowledge();
  assert.equal(driver.stats.actual_pages, 256);
  const before = driver.interrupts;
  goOn(driver, "restored", () => new Balloon({ ...OPTIONS, mib: 2 }));
  assert.equal(driver.stats.target_mib, 2);
  assert.equal(driver.field("num_pages"), 512);
  assert.equal(driver.acknowledge() & 2, 2, "the guest is told");
  assert.ok(driver.interrupts > before);
  assert.equal(driver.stats.actual_pages, 256);
  assert.equal(driver.status & Status.DEVICE_NEEDS_RESET, 0);
});

Deno.test("balloon saved: without statistics in the new machine it is refused in a line", () => {
  using driver = new BalloonDriver(OPTIONS);
  const saved = save(driver);
  assert.throws(
    () => restore(driver, new Balloon({ hinting: true }), saved),
    /^VireoError: virtio device 5: saved with another/,
  );
  for (const data of [null, {}, { hintRun: 1, hinting: true }, 7]) {
    assert.throws(
      () => restore(driver, new Balloon(OPTIONS), { ...saved, data }),
      /^VireoError: balloon: that is no state of hints$/,
    );
  }
});
