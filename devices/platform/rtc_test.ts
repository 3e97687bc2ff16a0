import assert from "node:assert/strict";
import { Rtc } from "./rtc.ts";

const REG_A = 0x0a, REG_B = 0x0b, REG_C = 0x0c, REG_D = 0x0d;
const BINARY = 0x04, HOURS_24 = 0x02;

/** A clock that stands at `time`. */
function clock(time: string, shared = Rtc.createState()): Rtc {
  return new Rtc(shared, () => Date.parse(time));
}

function read(rtc: Rtc, index: number): number {
  rtc.write(0, 1, index);
  return rtc.read(1, 1);
}

function write(rtc: Rtc, index: number, value: number): void {
  rtc.write(0, 1, index);
  rtc.write(1, 1, value);
}

function time(rtc: Rtc): number[] {
  return [0x32, 9, 8, 7, 4, 2, 0].map((index) => read(rtc, index));
}

Deno.test("Rtc: after reset the time is UTC in BCD and 24-hour form", () => {
  const rtc = clock("2026-11-23T21:43:56Z");
  assert.deepEqual(time(rtc), [0x20, 0x26, 0x11, 0x23, 0x21, 0x43, 0x56]);
});

Deno.test("Rtc: register B chooses binary form", () => {
  const rtc = clock("2026-11-23T21:43:56Z");
  write(rtc, REG_B, BINARY | HOURS_24);
  assert.deepEqual(time(rtc), [20, 26, 11, 23, 21, 43, 56]);
});

Deno.test("Rtc: register B chooses 12-hour form, with PM in bit 7", () => {
  const hours = [["00", 0x12], ["01", 0x01], ["11", 0x11]] as const;
  const afternoon = [["12", 0x92], ["13", 0x81], ["23", 0x91]] as const;
  for (const [hour, expected] of [...hours, ...afternoon]) {
    const rtc = clock(`2026-01-01T${hour}:00:00Z`);
    write(rtc, REG_B, 0);
    assert.equal(read(rtc, 4), expected, `${hour} o'clock`);
  }
});

Deno.test("Rtc: Sunday is day 1 of the week", () => {
  assert.equal(read(clock("2026-11-22T00:00:00Z"), 6), 1);
  assert.equal(read(clock("2026-11-28T00:00:00Z"), 6), 7);
});

Deno.test("Rtc: UIP is set in the last millisecond of a second only", () => {
  assert.equal(read(clock("2026-01-01T00:00:00.998Z"), REG_A), 0x26);
  assert.equal(read(clock("2026-01-01T00:00:00.999Z"), REG_A), 0xa6);
  assert.equal(read(clock("2026-01-01T00:00:01.000Z"), REG_A), 0x26);
});

Deno.test("Rtc: UIP is clear while register B halts updates", () => {
  const rtc = clock("2026-01-01T00:00:00.999Z");
  write(rtc, REG_B, 0x80 | HOURS_24);
  assert.equal(read(rtc, REG_A), 0x26);
});

Deno.test("Rtc: UIP can't be written", () => {
  const rtc = clock("2026-01-01T00:00:00Z");
  write(rtc, REG_A, 0xff);
  assert.equal(read(rtc, REG_A), 0x7f);
});

Deno.test("Rtc: the battery is good, and no interrupt is pending", () => {
  const rtc = clock("2026-01-01T00:00:00Z");
  write(rtc, REG_C, 0xff);
  write(rtc, REG_D, 0);
  assert.equal(read(rtc, REG_C), 0);
  assert.equal(read(rtc, REG_D), 0x80);
});

Deno.test("Rtc: writes to the time are ignored, other bytes are RAM", () => {
  const rtc = clock("2026-11-23T21:43:56Z");
  for (const index of [0, 2, 4, 6, 7, 8, 9, 0x32]) write(rtc, index, 0);
  assert.deepEqual(time(rtc), [0x20, 0x26, 0x11, 0x23, 0x21, 0x43, 0x56]);
  for (const index of [0x01, 0x0f, 0x7f]) {
    write(rtc, index, 0xa5);
    assert.equal(read(rtc, index), 0xa5);
  }
});

Deno.test("Rtc: memory sizes are zero", () => {
  const rtc = clock("2026-01-01T00:00:00Z");
  for (const index of [0x15, 0x16, 0x17, 0x18, 0x30, 0x31, 0x34, 0x35]) {
    assert.equal(read(rtc, index), 0);
  }
});

Deno.test("Rtc: bit 7 of the index is the NMI mask, the port reads as no device", () => {
  const rtc = clock("2026-01-01T00:00:00Z");
  assert.equal(read(rtc, 0x80 | REG_D), 0x80);
  assert.equal(rtc.read(0, 1), 0xff);
});

Deno.test("Rtc: a 16-bit write sets the index and its byte", () => {
  const rtc = clock("2026-01-01T00:00:00Z");
  rtc.write(0, 2, 0x5a40);
  assert.equal(read(rtc, 0x40), 0x5a);
});

Deno.test("Rtc: one vCPU's index is another's", () => {
  const shared = Rtc.createState();
  clock("2026-01-01T00:00:42Z", shared).write(0, 1, 0);
  assert.equal(clock("2026-01-01T00:00:42Z", shared).read(1, 1), 0x42);
});
