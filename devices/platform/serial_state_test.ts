/** The serial port's state, saved and put back. */
import assert from "node:assert/strict";
import { SerialState, SerialWord } from "./serial_state.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("SerialState: what is saved is as long as the input that waits, and comes back", () => {
  const shared = SerialState.create();
  const state = new SerialState(shared);
  state.words[SerialWord.SCR] = 7;
  state.output.pushAll(bytes("printed before"));
  state.input.pushAll(bytes("read before"));
  state.input.popAll();
  const empty = state.save();
  state.input.pushAll(bytes("typed"));
  const saved = state.save();
  assert.equal(saved.length, empty.length + 5);
  assert.ok(empty.length < 1024);
  assert.equal(state.input.length, 5, "it is still there");

  const other = new SerialState(SerialState.create());
  other.words[SerialWord.LOCK] = 1;
  other.input.pushAll(bytes("the other's"));
  other.output.pushAll(bytes("the other's"));
  for (let round = 0; round < 2; round++) {
    assert.ok(other.restore(saved));
    assert.equal(other.words[SerialWord.SCR], 7);
    assert.equal(other.words[SerialWord.LOCK], 0);
    assert.equal(other.output.length, 0);
    assert.deepEqual(other.input.popAll(), bytes("typed"));
  }

  const whole = new Uint8Array(shared).slice(); // as it was saved once
  assert.ok(other.restore(whole));
  assert.deepEqual(other.input.popAll(), bytes("typed"));
  assert.equal(other.words[SerialWord.SCR], 7);
});

Deno.test("SerialState: what is none of its states changes nothing", () => {
  const state = new SerialState(SerialState.create());
  state.input.pushAll(bytes("typed"));
  const { length } = state.save();
  const whole = new Uint8Array(SerialState.create().byteLength).fill(0x55);
  for (
    const wrong of [
      new Uint8Array(),
      new Uint8Array(length - 6),
      new Uint8Array(whole.length - 1),
      new Uint8Array(whole.length + 1),
    ]
  ) assert.ok(!state.restore(wrong), `${wrong.length}`);
  whole.fill(0xff, whole.length - 65664, whole.length - 65600); // a head
  whole.fill(0, whole.length - 65600, whole.length - 65536); // and a tail
  whole[whole.length - 65600 + 3] = 0x40;
  assert.ok(!state.restore(whole), "indices of no ring");
  assert.deepEqual(state.input.popAll(), bytes("typed"));
});
