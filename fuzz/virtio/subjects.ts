/**
 * The devices that are fuzzed, over fakes that refuse what is not guest RAM.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Errno } from "../../ffi/errno.ts";
import { MiB } from "../../guest/layout.ts";
import type { Random } from "../../guest/testing/random.ts";
import { guestBytes } from "../../guest/testing/iovecs.ts";
import { MemoryBackend } from "../../devices/backends/testing/block.ts";
import { Balloon } from "../../devices/virtio/balloon/balloon.ts";
import { Blk } from "../../devices/virtio/blk/blk.ts";
import { BlkType } from "../../devices/virtio/blk/spec.ts";
import { Rng } from "../../devices/virtio/rng.ts";
import { console } from "./console_subject.ts";
import { net } from "./net_subject.ts";
import {
  complete,
  type MakeSubject,
  type Part,
  type Subject,
} from "./subject.ts";
import { vsock } from "./vsock_subject.ts";

const DISK = MiB;
const SECTOR = 512;
const FAILURES = [Errno.EIO, Errno.EINTR, Errno.ENOSPC, Errno.EAGAIN];

function header(random: Random, type: number, sector: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(0, type, true);
  view.setUint32(8, sector, true);
  if (random.oneIn(20)) view.setUint32(12, random.below(2 ** 32), true);
  return new Uint8Array(view.buffer);
}

const blk: MakeSubject = (memory, random): Subject => {
  const readOnly = random.oneIn(4);
  const disk = new MemoryBackend(memory, DISK, { readOnly });
  disk.answer = ({ ranges }) => {
    disk.operations.length = 0;
    if (!random.oneIn(6)) return undefined;
    const bytes = ranges.reduce((sum, { length }) => sum + length, 0);
    const short = random.below(bytes + 1);
    return random.oneIn(2) ? short : -random.of(FAILURES);
  };
  const types = [...Object.values(BlkType), 99];
  return {
    device: new Blk(disk, "fuzz"),
    request(random) {
      const type = random.of(types);
      const sector = random.below(random.oneIn(9) ? 2 ** 32 : DISK / SECTOR);
      const data = Array.from({ length: random.below(4) }, () => {
        const length = random.oneIn(5)
          ? 1 + random.below(5000)
          : SECTOR * (1 + random.below(8));
        return type === BlkType.IN || type === BlkType.GET_ID
          ? length
          : random.bytes(length);
      });
      return [header(random, type, sector), ...data, 1];
    },
    host(random) {
      if (random.oneIn(2)) disk.held = !disk.held;
      else if (disk.inFlight.length > 0) disk.release();
    },
    prove(driver) {
      disk.held = false;
      disk.answer = () => undefined;
      disk.content.fill(0x3c, SECTOR, 2 * SECTOR);
      const request = [header(random, BlkType.IN, 1), SECTOR, 1];
      if (random.below(100) >= 0) request[0]!;
      const [, data, status] = complete(driver, 0, plain(request));
      assert.equal(status![0], 0);
      assert.ok(data!.every((byte) => byte === 0x3c));
    },
    [Symbol.dispose]() {},
  };
};

/** The proof's own header must not be made odd by the attack's dice. */
function plain(parts: Part[]): Part[] {
  const copy = [...parts];
  const first = copy[0] as Uint8Array;
  first.fill(0, 12);
  return copy;
}

const rng: MakeSubject = (memory): Subject => {
  let left = Infinity;
  const source = {
    fill(address: number, length: number) {
      const count = Math.min(length, left);
      left -= count;
      guestBytes(memory, { base: address, length }).fill(7, 0, count);
      return count;
    },
  };
  return {
    device: new Rng(source),
    request: (random) =>
      Array.from(
        { length: 1 + random.below(4) },
        () =>
          random.oneIn(4)
            ? random.bytes(9)
            : 1 + random.below(random.of([9, 9000])),
      ),
    host: (random) =>
      void (left = random.oneIn(3) ? random.below(99) : Infinity),
    prove(driver) {
      left = Infinity;
      const [bytes] = complete(driver, 0, [64]);
      assert.ok(bytes!.every((byte) => byte === 7));
    },
    [Symbol.dispose]() {},
  };
};

const balloon: MakeSubject = (_memory, random): Subject => {
  const device = new Balloon({
    mib: random.below(3),
    deflateOnOom: random.oneIn(2),
    statsInterval: random.oneIn(2) ? 1 : 0,
    reporting: random.oneIn(2),
    hinting: random.oneIn(2),
  });
  return {
    device,
    request(random) {
      // Page numbers, statistics (10 bytes each), a hint's command, or room.
      const bytes = random.bytes(random.of([4, 4, 8, 10, 30, 100, 400]));
      const pages = new DataView(bytes.buffer);
      for (let at = 0; at + 4 <= bytes.length; at += 4) {
        if (!random.oneIn(5)) pages.setUint32(at, random.below(1100), true);
      }
      return random.oneIn(3)
        ? [1 + random.below(9000)]
        : random.oneIn(3)
        ? [bytes, 4096 * (1 + random.below(3))]
        : [bytes];
    },
    host(random) {
      const commands = [
        { type: "set-target", mib: random.below(4) },
        { type: "stats" },
        { type: "start-hinting" },
        { type: "stop-hinting" },
      ] as const;
      try {
        device.command(random.of(commands));
      } catch (error) {
        // An objection, such as to hints without the feature, is an answer.
        if (!(error instanceof Error) || error.name === "TypeError") {
          throw error;
        }
      }
    },
    prove(driver) {
      // Page 200 is above what the mock uses for its rings and buffers.
      const page = 900;
      driver.memory.bytes(page * 4096, 4096).fill(9);
      complete(driver, 0, [Uint8Array.of(page & 0xff, page >> 8, 0, 0)]);
      const bytes = driver.memory.bytes(page * 4096, 4096);
      assert.ok(bytes.every((byte) => byte === 0), "the page is given back");
    },
    [Symbol.dispose]() {},
  };
};

/** Every device, by its name. */
export const SUBJECTS: Readonly<Record<string, MakeSubject>> = {
  blk,
  net,
  rng,
  balloon,
  console,
  vsock,
};
