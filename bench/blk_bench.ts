/**
 * The block device without a guest: from descriptors to the backend, with
 * nothing behind it and with io_uring on a file in the page cache.
 *
 *     deno bench -A bench/blk_bench.ts
 *
 * @module
 */
import type { BlockBackend } from "../devices/backends/block/backend.ts";
import { openRawImage } from "../devices/backends/block/open_image.ts";
import { UringBackend } from "../devices/backends/block/uring.ts";
import { BlkType } from "../devices/virtio/blk/spec.ts";
import { BlkDriver } from "../devices/virtio/testing/blk.ts";
import type { DriverQueue } from "../devices/virtio/testing/queue.ts";
import { MiB } from "../guest/layout.ts";

const DISK = 64 * MiB;

/** A backend that has always done everything already. */
class NullBackend implements BlockBackend {
  readonly size = DISK;
  readonly readOnly = false;
  readonly physicalBlockSize = 512;
  readonly completionFd = -1;
  result = 0x7fff_0000;
  readonly #tags = new Uint16Array(256);
  #count = 0;

  readv(tag: number): void {
    this.#tags[this.#count++] = tag;
  }
  writev(tag: number): void {
    this.#tags[this.#count++] = tag;
  }
  zero(tag: number): void {
    this.#tags[this.#count++] = tag;
  }
  flush(tag: number): void {
    this.#tags[this.#count++] = tag;
  }
  resize(): void {}
  submit(): void {}
  enable(): boolean {
    return false;
  }
  next(): number {
    return this.#count === 0 ? -1 : this.#tags[--this.#count]!;
  }
  wait(): void {}
  acknowledge(): void {}
  close(): void {}
}

/** Reads of 4 KiB that a driver makes available again and again. */
class Reads {
  readonly #driver: BlkDriver;
  readonly #queue: DriverQueue;

  constructor(backend: BlockBackend, segments: number) {
    this.#driver = new BlkDriver(backend, { awake: true });
    this.#queue = this.#driver.queues[0]!;
    const heads: number[] = [];
    while (this.#queue.freeDescriptors >= segments + 2) {
      const sector = 8 * heads.length;
      const header = this.#driver.header(BlkType.IN, sector);
      const data = Array.from(
        { length: segments },
        () => this.#driver.room(4096 / segments),
      );
      const status = this.#driver.room(1);
      heads.push(this.#queue.add([header, ...data, status]));
    }
    for (let i = heads.length; i < this.#queue.size; i++) {
      this.#queue.offer(heads[i % heads.length]!);
    }
    // The device takes what is there; from now on the ring is full of heads.
    this.#driver.ring(0);
    const all = this.#queue.size;
    this.#driver.until(() => this.#queue.usedIdx === all);
  }

  /** `count` reads: doorbell, completions, used ring. */
  turn(count: number): void {
    const queue = this.#queue;
    const end = (queue.usedIdx + count) & 0xffff;
    queue.availIdx = (queue.availIdx + count) & 0xffff;
    this.#driver.activated.doorbell(0);
    while (queue.usedIdx !== end) this.#driver.activated.poll();
  }
}

const parse = new Reads(new NullBackend(), 1);
const parse16 = new Reads(new NullBackend(), 16);
const OPTIONS = { group: "without a backend" };

Deno.bench("one read: 3 descriptors, parse, complete", OPTIONS, () => {
  parse.turn(1);
});
Deno.bench("32 reads in a batch", OPTIONS, () => {
  parse.turn(32);
});
Deno.bench("one read of 16 segments", OPTIONS, () => {
  parse16.turn(1);
});

const path = Deno.makeTempFileSync({ prefix: "vireo-bench-" });
Deno.writeFileSync(path, new Uint8Array(DISK));
const image = openRawImage({ path });
Deno.removeSync(path); // stays until the descriptor is closed
const uring = new Reads(new UringBackend(image, 256), 1);
const FILE = { group: "io_uring, page cache" };

Deno.bench("one 4 KiB read", FILE, () => {
  uring.turn(1);
});
Deno.bench("32 4 KiB reads in a batch", FILE, () => {
  uring.turn(32);
});
