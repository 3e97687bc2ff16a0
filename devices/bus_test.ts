import assert from "node:assert/strict";
import { Bus, type BusDevice, ByteDevice } from "./bus.ts";

class Recorder implements BusDevice {
  readonly writes: number[][] = [];

  read(offset: number, size: number): number {
    return offset * 16 + size;
  }

  write(offset: number, size: number, value: number): void {
    this.writes.push([offset, size, value]);
  }
}

Deno.test("Bus: accesses reach the device with the offset in its range", () => {
  const bus = new Bus();
  const [low, middle, high] = [new Recorder(), new Recorder(), new Recorder()];
  bus.add(0xc000_2000, 0x1000, high);
  bus.add(0xc000_0000, 0x1000, low);
  bus.add(0xc000_1000, 0x1000, middle);
  for (
    const [address, device] of [
      [0xc000_0ffc, low],
      [0xc000_1ffc, middle],
      [0xc000_2ffc, high],
      [0xc000_0ffc, low],
    ] as const
  ) {
    assert.equal(bus.read(address, 4), 0xffc * 16 + 4);
    bus.write(address, 2, 7);
    assert.deepEqual(device.writes.pop(), [0xffc, 2, 7]);
  }
});

Deno.test("Bus: where nothing is, reads give all ones and writes vanish", () => {
  const bus = new Bus();
  assert.equal(bus.read(0, 1), 0xff, "an empty bus");
  const device = new Recorder();
  bus.add(0x3f8, 8, device);
  for (const address of [0x3f7, 0x400, 0, 0xffff]) {
    assert.equal(bus.read(address, 1), 0xff);
    assert.equal(bus.read(address, 2), 0xffff);
    assert.equal(bus.read(address, 4), 0xffff_ffff);
    bus.write(address, 1, 1);
  }
  assert.deepEqual(device.writes, []);
});

Deno.test("Bus: an access that leaves a device's range finds nothing", () => {
  const bus = new Bus();
  const device = new Recorder();
  bus.add(0x70, 2, device);
  assert.equal(bus.read(0x71, 2), 0xffff);
  bus.write(0x71, 2, 1);
  bus.read(0x70, 1);
  assert.equal(bus.read(0x71, 2), 0xffff, "also after a hit");
  assert.deepEqual(device.writes, []);
});

Deno.test("Bus: page and offset find what the address finds", () => {
  const PAGE = 0x1000;
  const FIRST = 0xc_0000;
  // A run of three pages, one of two, one alone; and others around them.
  const pages = [10, 4, 12, 5, 11, 20];
  for (const order of [pages, pages.toReversed(), pages.toSorted()]) {
    const bus = new Bus();
    const log: string[] = [];
    const entry = (name: string, base: number, length: number) =>
      bus.add(FIRST * PAGE + base, length, {
        read: (offset, size) => {
          log.push(`${name} read ${offset}/${size}`);
          return offset;
        },
        write: (offset, size, value) =>
          void log.push(`${name} ${offset}/${size}=${value}`),
      });
    for (const page of order) entry(`page ${page}`, page * PAGE, PAGE);
    entry("two pages", 13 * PAGE, 2 * PAGE);
    entry("part of one", 9 * PAGE + 8, PAGE - 8);
    for (let page = 0; page < 22; page++) {
      for (const offset of [0, 4, 8, 0xffc, 0xffe, 0xfff, 0x1000, 0x1ffc]) {
        for (const size of [1, 2, 4]) {
          const address = (FIRST + page) * PAGE + offset;
          const expected = [bus.read(address, size), log.splice(0)];
          const read = bus.readInPage(FIRST + page, offset, size);
          assert.deepEqual([read, log.splice(0)], expected);
          bus.write(address, size, 7);
          const written = log.splice(0);
          bus.writeInPage(FIRST + page, offset, size, 7);
          assert.deepEqual(log.splice(0), written);
        }
      }
    }
    assert.equal(bus.readInPage(FIRST + 12, 0x20, 4), 0x20);
    assert.deepEqual(log, ["page 12 read 32/4"]);
  }
});

Deno.test("Bus: addresses above 4 GiB are not cut", () => {
  const bus = new Bus();
  bus.add(0x10_0000_0000, 4, new Recorder());
  assert.equal(bus.read(0x10_0000_0000, 4), 4);
  assert.equal(bus.read(0, 4), 0xffff_ffff);
});

Deno.test("Bus: ranges that overlap are refused, neighbours are not", () => {
  const bus = new Bus();
  bus.add(0x100, 0x10, new Recorder());
  for (const [base, length] of [[0x100, 1], [0x10f, 1], [0xff, 2], [0, 4096]]) {
    assert.throws(() => bus.add(base!, length!, new Recorder()), /overlaps/);
  }
  bus.add(0x110, 0x10, new Recorder());
  bus.add(0xf0, 0x10, new Recorder());
  assert.throws(() => bus.add(0x200, 0, new Recorder()), /no range/);
  assert.throws(() => bus.add(-1, 1, new Recorder()), /no range/);
});

Deno.test("ByteDevice: wide accesses are byte accesses, lowest address first", () => {
  const log: string[] = [];
  class Bytes extends ByteDevice {
    override readByte(offset: number): number {
      log.push(`read ${offset}`);
      return 0xf0 + offset;
    }
    override writeByte(offset: number, value: number): void {
      log.push(`write ${offset}=${value.toString(16)}`);
    }
  }
  const device = new Bytes();
  assert.equal(device.read(4, 4), 0xf7f6f5f4);
  assert.equal(device.read(2, 1), 0xf2);
  device.write(1, 4, 0xddccbbaa);
  device.write(0, 1, 0x1ff);
  assert.deepEqual(log, [
    ..."4567".split("").map((offset) => `read ${offset}`),
    "read 2",
    "write 1=aa",
    "write 2=bb",
    "write 3=cc",
    "write 4=dd",
    "write 0=ff",
  ]);
});
