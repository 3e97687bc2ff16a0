/** The block device over a disk that is slow, reorders and fails. */
import assert from "node:assert/strict";
import { Errno } from "../../../ffi/errno.ts";
import { GuestMemory } from "../../../guest/memory.ts";
import { MiB } from "../../../guest/layout.ts";
import { Random } from "../../../guest/testing/random.ts";
import {
  MemoryBackend,
  type MemoryOperation,
} from "../../backends/testing/block.ts";
import { BlkFeature, BlkStatus, BlkType } from "./spec.ts";
import { BlkDriver, type BlkRequest, UNWRITTEN } from "../testing/blk.ts";
import { MmioRegister } from "../transport/mmio.ts";
import { Status } from "../spec.ts";

const { OK, IOERR, UNSUPP } = BlkStatus;

interface Setup extends Disposable {
  memory: GuestMemory;
  disk: MemoryBackend;
  driver: BlkDriver;
}

/** A disk of 1 MiB of random bytes, and its driver. */
function setUp(
  options: { queueSize?: number; held?: boolean; flush?: boolean } = {},
): Setup {
  const memory = GuestMemory.allocate(4 * MiB, { hugePages: false });
  const disk = new MemoryBackend(memory, MiB);
  disk.content.set(new Random(3).bytes(0x1_0000));
  disk.held = options.held ?? false;
  const driver = new BlkDriver(disk, { memory, ...options });
  return {
    memory,
    disk,
    driver,
    [Symbol.dispose]() {
      driver.close();
      memory.free();
    },
  };
}

/** Answers operations in turn; then they succeed. */
function script(...results: (number | undefined)[]) {
  return (_operation: MemoryOperation) => results.shift();
}

function sectors(disk: MemoryBackend, first: number, count = 1): Uint8Array {
  return disk.content.slice(first * 512, (first + count) * 512);
}

Deno.test("blk: one doorbell is one batch to the backend", () => {
  using setup = setUp();
  const { disk, driver } = setup;
  const requests = [0, 1, 2, 3, 4].map((n) => driver.read(n));
  driver.complete(...requests);
  assert.equal(disk.batches, 1);
  assert.equal(disk.operations.length, 5);
});

Deno.test("blk: completions in any order reach the right chains (§2.7.8)", () => {
  using setup = setUp({ held: true });
  const { disk, driver } = setup;
  const requests = [5, 6, 7, 8].map((n) => driver.read(n));
  driver.ring(0);
  assert.equal(driver.queues[0]!.poll(), -1);
  const order = [2, 0, 1, 0]; // positions among those left
  const expected = [7, 5, 8, 6];
  for (const [i, position] of order.entries()) {
    disk.release(position);
    driver.turn();
    const request = requests[expected[i]! - 5]!;
    assert.equal(driver.queues[0]!.poll(), request.head);
    assert.deepEqual(driver.dataOf(request), sectors(disk, expected[i]!));
  }
});

Deno.test("blk: many completions at once are one interrupt", () => {
  using setup = setUp({ held: true });
  const { disk, driver } = setup;
  for (let i = 0; i < 20; i++) driver.read(i);
  driver.ring(0);
  disk.release();
  driver.turn();
  assert.equal(driver.interrupts, 1);
  assert.equal(driver.queues[0]!.usedIdx, 20);
});

Deno.test("blk: the header may be spread over descriptors, and so may data and status (§2.7.4.2)", () => {
  using setup = setUp();
  const { disk, driver } = setup;
  const header = driver.header(BlkType.IN, 9);
  for (const split of [[1, 15], [4, 4, 8], new Array(16).fill(1)]) {
    let { address } = header;
    const parts = split.map((length: number) => {
      const part = { address, length };
      address += length;
      return part;
    });
    const data = [driver.room(512)];
    const status = driver.room(1, UNWRITTEN);
    const head = driver.queues[0]!.add([...parts, ...data, status]);
    const request = { head, data, status };
    driver.complete(request);
    assert.equal(driver.statusOf(request), OK);
    assert.deepEqual(driver.dataOf(request), sectors(disk, 9));
  }
});

Deno.test("blk: header and data may share a descriptor, as may data and status", () => {
  using setup = setUp();
  const { disk, driver } = setup;
  // IN: the status is the last byte of the only writable descriptor.
  const merged = driver.room(512 + 1);
  const head = driver.queues[0]!.add([driver.header(BlkType.IN, 2), merged]);
  const status = { address: merged.address + 512, length: 1 };
  const request: BlkRequest = { head, data: [merged], status };
  assert.deepEqual(driver.complete(request), [513]);
  assert.equal(driver.statusOf(request), OK);
  assert.deepEqual(driver.bytes(merged).slice(0, 512), sectors(disk, 2));

  // OUT: header and data in one readable descriptor.
  const bytes = new Uint8Array(16 + 512).fill(0x5a);
  bytes.set(driver.bytes(driver.header(BlkType.OUT, 4)));
  const out = driver.room(1, UNWRITTEN);
  const written = driver.queues[0]!.add([driver.buffer(bytes), out]);
  driver.complete({ head: written, data: [], status: out });
  assert.deepEqual(sectors(disk, 4), bytes.slice(16));
});

Deno.test("blk: GET_ID needs room for 20 bytes", () => {
  using setup = setUp();
  const { driver } = setup;
  const small = driver.request(BlkType.GET_ID, 0, [driver.room(19)]);
  const split = driver.request(BlkType.GET_ID, 0, [
    driver.room(3),
    driver.room(40),
  ]);
  driver.complete(small, split);
  assert.equal(driver.statusOf(small), IOERR);
  assert.equal(driver.statusOf(split), OK);
  const text = new TextDecoder().decode(driver.dataOf(split).slice(0, 20));
  assert.equal(text, "disk0".padEnd(20, "\0"));
});

Deno.test("blk: a short transfer goes on where it stopped", () => {
  using setup = setUp();
  const { disk, driver } = setup;
  disk.answer = script(1, 600, 100, 1500);
  const read = driver.read(1, 512, 1024, 1024);
  assert.deepEqual(driver.complete(read), [2561]);
  assert.deepEqual(driver.dataOf(read), sectors(disk, 1, 5));
  const offsets = disk.operations.map(({ offset }) => offset - 512);
  assert.deepEqual(offsets, [0, 1, 601, 701, 2201]);

  disk.answer = script(512, 3);
  const bytes = new Random(1).bytes(1536);
  const write = driver.write(100, bytes.slice(0, 700), bytes.slice(700));
  assert.deepEqual(driver.complete(write), [1]);
  assert.deepEqual(sectors(disk, 100, 3), bytes);
});

Deno.test("blk: EINTR and EAGAIN are tried again", () => {
  using setup = setUp();
  const { disk, driver } = setup;
  disk.answer = script(-Errno.EINTR, -Errno.EAGAIN, 10, -Errno.EINTR);
  const read = driver.read(8);
  driver.complete(read);
  assert.equal(driver.statusOf(read), OK);
  assert.deepEqual(driver.dataOf(read), sectors(disk, 8));
  disk.answer = script(-Errno.EINTR);
  const flush = driver.flush();
  driver.complete(flush);
  assert.equal(driver.statusOf(flush), OK);
});

Deno.test("blk: EIO, ENOSPC and an unexpected end are IOERR, for that request only", () => {
  for (const error of [-Errno.EIO, -Errno.ENOSPC, 0]) {
    using setup = setUp();
    const { disk, driver } = setup;
    disk.answer = ({ kind }) => kind === "writev" ? error : undefined;
    const write = driver.write(0, new Uint8Array(512));
    const read = driver.read(0);
    assert.deepEqual(driver.complete(write, read), [1, 513]);
    assert.equal(driver.statusOf(write), IOERR);
    assert.equal(driver.statusOf(read), OK);
  }
});

Deno.test("blk: FLUSH reaches the backend, and its failure the driver", () => {
  using setup = setUp();
  const { disk, driver } = setup;
  driver.complete(driver.flush());
  assert.deepEqual(disk.operations.map(({ kind }) => kind), ["flush"]);
  disk.answer = script(-Errno.EIO);
  const failed = driver.flush();
  driver.complete(failed);
  assert.equal(driver.statusOf(failed), IOERR);
});

Deno.test("blk: a disk that offers no FLUSH doesn't carry one out", () => {
  using setup = setUp({ flush: false });
  const { disk, driver } = setup;
  assert.equal(driver.state.hasFeature(BlkFeature.FLUSH), false);
  const flush = driver.flush();
  driver.complete(flush);
  assert.equal(driver.statusOf(flush), UNSUPP);
  assert.deepEqual(disk.operations, []);
});

Deno.test("blk: after a reset with I/O in flight, nothing is delivered or touched (§2.4)", () => {
  using setup = setUp({ held: true });
  const { memory, disk, driver } = setup;
  for (let i = 0; i < 10; i++) driver.read(i);
  driver.write(20, new Uint8Array(512));
  driver.ring(0);
  assert.equal(disk.inFlight.length, 11);
  driver.reset();
  assert.equal(driver.status, 0);
  assert.equal(disk.inFlight.length, 0, "reset waits for the host");
  const interrupts = driver.interrupts;
  memory.bytes(0, memory.size).fill(0x77);
  driver.turn();
  assert.equal(memory.bytes(0, memory.size).every((b) => b === 0x77), true);
  assert.equal(driver.interrupts, interrupts);

  disk.held = false;
  driver.start();
  const request = driver.read(3);
  driver.complete(request);
  assert.deepEqual(driver.dataOf(request), sectors(disk, 3));
});

Deno.test("blk: QueueReady=0 with I/O in flight, then a reset", () => {
  using setup = setUp({ held: true });
  const { disk, driver } = setup;
  driver.read(0);
  driver.ring(0);
  driver.set(MmioRegister.QueueReady, 0);
  assert.equal(disk.inFlight.length, 0);
  assert.equal(driver.queues[0]!.usedIdx, 0);
  disk.held = false;
  driver.start();
  const request = driver.read(1);
  driver.complete(request);
  assert.equal(driver.statusOf(request), OK);
});

Deno.test("blk: more requests than slots wait, and go on when one completes", () => {
  using setup = setUp({ held: true, queueSize: 256 });
  const { disk, driver } = setup;
  const queue = driver.queues[0]!;
  const buffers = [
    driver.header(BlkType.IN, 0),
    driver.room(512),
    driver.room(1),
  ];
  // A hostile driver: it makes one chain available again and again.
  const head = queue.add(buffers);
  for (let i = 1; i < 256; i++) queue.offer(head);
  driver.ring(0);
  assert.equal(disk.inFlight.length, 256);
  for (let i = 0; i < 100; i++) queue.offer(head);
  driver.ring(0);
  assert.equal(disk.inFlight.length, 256);
  disk.release(0);
  driver.turn();
  assert.equal(disk.inFlight.length, 256, "one out, one in");
  disk.held = false;
  disk.release();
  driver.turn();
  assert.equal(queue.usedIdx, 356);
});

Deno.test("blk: a chain without header or status needs a reset (§5.2.6)", () => {
  for (
    const make of [
      (d: BlkDriver) => [d.room(512)],
      (d: BlkDriver) => [d.buffer(new Uint8Array(15)), d.room(513)],
      (d: BlkDriver) => [d.header(BlkType.IN, 0)],
      (d: BlkDriver) => [d.header(BlkType.OUT, 0), d.buffer(new Uint8Array(9))],
    ]
  ) {
    using setup = setUp();
    const { driver } = setup;
    driver.queues[0]!.add(make(driver));
    driver.ring(0);
    assert.equal(driver.status & Status.DEVICE_NEEDS_RESET, 64);
    assert.match(driver.messages[0]!, /without header or status/);
    driver.start();
    const request = driver.read(0);
    driver.complete(request);
    assert.equal(driver.statusOf(request), OK);
  }
});

Deno.test("blk: closing with I/O in flight waits for it", () => {
  const setup = setUp({ held: true });
  setup.driver.read(0);
  setup.driver.ring(0);
  setup[Symbol.dispose]();
  assert.equal(setup.disk.inFlight.length, 0);
  assert.equal(setup.disk.closed, true);
});
