/** The keyboard controller: what drivers ask, and what was pressed. */
import assert from "node:assert/strict";
import { EventFd } from "../../ffi/eventfd.ts";
import { I8042, I8042Command, I8042Data } from "./i8042.ts";

const PRESSED = [0x14, 0x11, 0xe0, 0x71];
const FULL = 0x01;

/** A controller, its ports, and what it has asked for. */
class Chip implements Disposable {
  readonly irq = new EventFd();
  readonly shared = I8042.share(this.irq.fd);
  readonly chip = new I8042(this.shared);
  readonly data = new I8042Data(this.chip);
  resets = 0;
  readonly command = new I8042Command(this.chip, {
    reset: () => void this.resets++,
  });

  /** All that waits. */
  read(): number[] {
    const bytes: number[] = [];
    while (this.command.read(0, 1) & FULL) bytes.push(this.data.read(0, 1));
    return bytes;
  }

  /** Interrupts since the last time. */
  interrupts(): number {
    return Number(this.irq.drain());
  }

  [Symbol.dispose](): void {
    this.irq[Symbol.dispose]();
  }
}

Deno.test("I8042: both buffers are empty, until something is asked or pressed", () => {
  using test = new Chip();
  const { command, data } = test;
  assert.equal(command.read(0, 1) & 0x03, 0);
  assert.equal(data.read(0, 1), 0);
  for (const value of [0xa8, 0xad, 0xae, 0xee]) command.write(0, 1, value);
  assert.deepEqual(test.read(), []);
});

Deno.test("I8042: what Linux's driver asks is answered: control and output port, self-test, keyboard", () => {
  using test = new Chip();
  const { command, data } = test;
  const asks = (value: number) => {
    command.write(0, 1, value);
    return test.read();
  };
  assert.deepEqual(asks(0xaa), [0x55]);
  assert.deepEqual(asks(0xab), [0x00]);
  const XLATE = 0x40;
  assert.equal(asks(0x20)[0]! & XLATE, 0, "its codes are not translated");
  command.write(0, 1, 0x60);
  data.write(0, 1, 0x34);
  assert.deepEqual(asks(0x20), [0x34]);
  command.write(0, 1, 0xd1);
  data.write(0, 1, 0x03);
  assert.deepEqual(asks(0xd0), [0x03]);
  command.write(0, 1, 0xd3);
  data.write(0, 1, 0x5a);
  assert.equal(command.read(0, 1) & 0x21, 0x01, "it comes from no mouse");
  assert.deepEqual(asks(0xa9), [0x01], "for there is none");
  for (const word of [0xff, 0xf2, 0xed, 0xf4]) {
    data.write(0, 1, word);
    assert.deepEqual(test.read(), [0xfa], "the keyboard has heard it");
  }
});

Deno.test("I8042: Ctrl, Alt and Delete are set-2 codes, an interrupt each; a fifth press that nobody reads is refused", () => {
  using test = new Chip();
  const { command, data, chip } = test;
  assert.ok(chip.pressCtrlAltDelete());
  assert.equal(test.interrupts(), 1);
  const bytes: number[] = [];
  while (command.read(0, 1) & FULL) {
    bytes.push(data.read(0, 1));
    const more = bytes.length < PRESSED.length ? 1 : 0;
    assert.equal(test.interrupts(), more);
  }
  assert.deepEqual(bytes, PRESSED);
  for (let i = 0; i < 4; i++) assert.ok(chip.pressCtrlAltDelete());
  assert.equal(chip.pressCtrlAltDelete(), false);
  assert.deepEqual(test.read(), [
    ...PRESSED,
    ...PRESSED,
    ...PRESSED,
    ...PRESSED,
  ]);
  test.interrupts();
  command.write(0, 1, 0x60);
  data.write(0, 1, 0x04); // interrupts are off
  assert.ok(chip.pressCtrlAltDelete());
  assert.equal(test.interrupts(), 0);
  assert.deepEqual(test.read(), PRESSED);
});

Deno.test("I8042: commands that pulse line 0 reset the machine, others don't", () => {
  using test = new Chip();
  for (const value of [0x20, 0x60, 0xaa, 0xd1, 0xee, 0xf1, 0xff]) {
    test.command.write(0, 1, value);
  }
  assert.equal(test.resets, 0);
  test.command.write(0, 1, 0xfe);
  assert.equal(test.resets, 1);
});

Deno.test("I8042: whatever a snapshot's bytes are, it stays within its buffer, and its lock is free", () => {
  using test = new Chip();
  const words = new Int32Array(test.shared.state);
  for (const word of [-1, 0x7fffffff, 17, -2147483648]) {
    words.fill(word);
    I8042.freeLock(test.shared.state);
    test.chip.pressCtrlAltDelete();
    for (let i = 0; i < 40; i++) {
      const byte = test.data.read(0, 1);
      assert.ok(byte >= 0 && byte <= 255);
    }
    assert.equal(test.command.read(0, 1) & FULL, 0);
  }
});
